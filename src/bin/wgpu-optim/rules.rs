//! The rules that there are, as the registry has them.

use std::io::Write;
use std::process::ExitCode;

use wgpu_optim::config::{Choice, Described, Named, rules};

use crate::Failure;
use crate::output::columns;

pub(crate) fn run(as_json: bool, as_markdown: bool) -> Result<ExitCode, Failure> {
    let all = rules()?;
    let mut out = std::io::stdout().lock();
    if as_markdown {
        write!(out, "{}", markdown(&all))?;
        return Ok(ExitCode::SUCCESS);
    }
    if as_json {
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    for rule in &all {
        write!(out, "{}", text(rule))?;
    }
    write!(out, "{NOTE}")?;
    Ok(ExitCode::SUCCESS)
}

const NOTE: &str = "\
bytes: of state, and read and written by a step, for each parameter in f32.
eps or eps_root alone: the other is 0. convention: takes its origin's numbers for all keys that are not given.
Names are in any case, and PyTorch's keys are taken as they are: README, the section on the command.
";

/// The README's table of all rules.
fn markdown(all: &[Described]) -> String {
    let code = |names: &[&str]| {
        names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    };
    let mut table =
        "| rule | in CONFIG | state | options of its own | conventions |\n|---|---|---|---|---|\n"
            .to_owned();
    for rule in all {
        let names: Vec<_> =
            std::iter::once(rule.name).chain(rule.presets.iter().map(|of| of.name)).collect();
        let mut slots: Vec<&str> = Vec::new();
        for slot in rule.kept.iter().flat_map(|kept| &kept.slots) {
            if !slots.contains(slot) {
                slots.push(slot);
            }
        }
        let options: Vec<_> = rule.options.iter().map(|option| option.name).collect();
        let conventions: Vec<_> = rule.conventions.iter().map(|of| of.name).collect();
        let cells = [code(&names), code(&slots), code(&options), conventions.join(", ")];
        table += &format!("| `{}` | {} |\n", rule.rust, cells.join(" | "));
    }
    table
}

/// The text of one rule.
fn text(rule: &Described) -> String {
    let mut text = format!("{}\n", rule.name);
    text += &format!("  paper: {}\n", rule.paper);
    text.extend(rule.presets.iter().map(|of| named("optimizer", of)));
    text.extend(rule.conventions.iter().map(|of| named("convention", of)));
    text.push('\n');
    text.extend(rule.formula.lines().map(|line| format!("    {line}\n")));
    text += "\n";
    let head = ["key", "default", "range"].map(str::to_owned);
    let mut options = vec![head];
    for Choice { name, default, range, .. } in rule.options.iter().chain(&rule.general) {
        options.push([(*name).to_owned(), default.to_string(), range.clone()]);
    }
    text += &indented(&columns(&options));
    let head = ["switches", "state", "bytes of state", "bytes of a step"].map(str::to_owned);
    let mut kept = vec![head];
    let names = |names: &[&str]| match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    for row in &rule.kept {
        let switches = names(&row.switches).to_lowercase();
        let bytes = [row.state_bytes, row.step_bytes].map(|bytes| bytes.to_string());
        let [state, step] = bytes;
        kept.push([switches, names(&row.slots), state, step]);
    }
    text + &indented(&columns(&kept))
}

/// A name with what differs under it.
fn named(key: &str, of: &Named) -> String {
    let differs: Vec<_> = of.defaults.iter().map(|(key, value)| format!("{key} {value}")).collect();
    let differs = if differs.is_empty() { "as by default".to_owned() } else { differs.join(", ") };
    format!("  \"{key}\": \"{}\": {differs}\n", of.name)
}

fn indented(table: &str) -> String {
    let lines: String = table.lines().map(|line| format!("  {line}\n")).collect();
    lines + "\n"
}
