//! This module joins the text of a kernel from files, and adds the few lines that depend on the kernel.
//!
//! A comment says where each file begins, as in `// --- shaders/rule/adam.wgsl ---`.

use super::WINDOW;
use super::access::{RAW, access, codec};
use super::blocks;
use super::hook::{Hook, Part, hooks};
use super::spec::{Address, KernelSpec};
use crate::group::DriverScalars;
use crate::model::{Body, OPERANDS, RuleKey, Spec, Weight};
use crate::num::Code;
use crate::num::{BlockCode, Format};
use crate::plan::{PARAM, Width};
use crate::rule::{ALL, MAX_SLOTS};

/// A text that grows file by file.
#[derive(Default)]
struct Text(String);

impl Text {
    /// Joins a text under a heading. The heading must be one line, because WGSL compiles whatever follows a line
    /// break.
    fn part(&mut self, heading: &str, text: &str) {
        self.0 += &format!("// --- {heading} ---\n{}\n\n", text.trim_end());
    }

    /// Joins a file of `shaders/`.
    fn file(&mut self, name: &str, text: &str) {
        self.part(&format!("shaders/{name}"), text);
    }

    /// Joins the text of a rule. A rule from outside this crate has no file, and its name may have any characters.
    fn rule(&mut self, rule: &RuleKey) {
        let text = rule.wgsl();
        match ALL.iter().find(|entry| entry.wgsl == text) {
            Some(entry) => self.file(&format!("rule/{}.wgsl", entry.name), text),
            None => self.part(&format!("the rule `{}`", rule.name().escape_default()), text),
        }
    }

    /// Joins lines that depend on the kernel.
    fn lines(&mut self, lines: &[String]) {
        if !lines.is_empty() {
            self.part("lines of src/kernel/assemble.rs", &lines.join("\n"));
        }
    }
}

macro_rules! join {
    ($text:expr, $name:literal) => {
        $text.file($name, include_str!(concat!("../../shaders/", $name)))
    };
}

/// The complete text of a kernel.
pub(crate) fn wgsl(kernel: &KernelSpec) -> String {
    let spec = &kernel.spec;
    let mut text = Text::default();
    if kernel.width != Width::Scalar {
        join!(text, "quad.wgsl");
    }
    match kernel.width {
        Width::Vec4 => join!(text, "vec4.wgsl"),
        Width::Loose => join!(text, "loose.wgsl"),
        Width::Scalar => join!(text, "scalar.wgsl"),
    }
    join!(text, "prelude.wgsl");
    if spec.is_step() {
        join!(text, "step.wgsl");
    }
    if spec.summed || spec.body == Body::Accumulate {
        join!(text, "sums.wgsl");
    }
    for format in Format::ALL {
        let used = |code| code == Code::Plain(format);
        let has = kernel.variables().iter().any(|variable| used(variable.code));
        if let Some(codec) = codec(format).filter(|_| has) {
            text.file(&format!("format/{}.wgsl", format.name()), codec);
        }
    }
    if kernel.variables().iter().any(|variable| variable.code == Code::Bits(16)) {
        text.file("format/raw.wgsl", RAW);
    }
    text.lines(&numbers(kernel));
    if spec.in_blocks() {
        text.lines(&blocks::numbers(kernel));
    }
    if encodes(spec) {
        text.lines(&[blocks::declared(kernel)]);
        join!(text, "block/tables.wgsl");
        for code in spec.state.blocks() {
            code_of_blocks(&mut text, kernel, code);
        }
    }
    for variable in kernel.variables() {
        let width = match OPERANDS[variable.operand].column() {
            Some(crate::plan::GRAD) => kernel.width,
            // Every operand except gradients stands in quads.
            _ if kernel.width == Width::Loose => Width::Vec4,
            _ => kernel.width,
        };
        let (name, access) = access(&variable, width, spec.body);
        text.file(&format!("{name} for {}", variable.name), &access);
    }
    if spec.grads == crate::model::Grads::Joined {
        join!(text, "access/joined.wgsl");
    }
    text.lines(&places(kernel));
    let hooks = hooks(spec);
    if spec.is_step() && (spec.weight == Weight::Stochastic || spec.dithers) {
        join!(text, "noise.wgsl");
    }
    for hook in &hooks {
        text.file(hook.path, &hook.file.replace("codec", spec.param.name()));
    }
    match kernel.address {
        Address::Direct => join!(text, "address/direct.wgsl"),
        Address::Table | Address::Moving => join!(text, "address/table.wgsl"),
    }
    match spec.body {
        Body::Update | Body::Stream | Body::Blend => step(&mut text, kernel, &hooks),
        Body::Accumulate => join!(text, "kernel/accumulate.wgsl"),
        Body::Norm => {
            join!(text, "clip.wgsl");
            join!(text, "control/controller.wgsl");
            join!(text, "control/norm.wgsl");
        }
    }
    text.0
}

/// Joins the files that only steps have.
fn step(text: &mut Text, kernel: &KernelSpec, hooks: &[&Hook]) {
    let Some(rule) = &kernel.spec.rule else { return };
    text.lines(&state(&kernel.spec, rule));
    if encodes(&kernel.spec) {
        text.lines(&blocks::state(kernel, rule));
    }
    text.lines(&beside(hooks));
    match kernel.address {
        Address::Direct => join!(text, "scalars/direct.wgsl"),
        Address::Table => {
            join!(text, "scalars/block.wgsl");
            join!(text, "scalars/table.wgsl");
        }
        Address::Moving => {
            join!(text, "scalars/block.wgsl");
            join!(text, "scalars/all.wgsl");
        }
    }
    join!(text, "math.wgsl");
    text.rule(rule);
    join!(text, "clip.wgsl");
    match kernel.spec.body {
        Body::Stream => join!(text, "kernel/stream.wgsl"),
        Body::Blend => {
            let slot = rule.averaged().unwrap_or_default();
            text.lines(&[format!("const blended_slot = {slot}u;")]);
            join!(text, "kernel/blend.wgsl");
        }
        _ => {
            join!(text, "kernel/moved.wgsl");
            match encodes(&kernel.spec) {
                true => join!(text, "kernel/update_blocks.wgsl"),
                false => join!(text, "kernel/update.wgsl"),
            }
        }
    }
}

/// The lines with the numbers that the host decides: groups, bindings, and the blocks that a table sees.
fn numbers(kernel: &KernelSpec) -> Vec<String> {
    let constant = |name: &str, number: u32| format!("const {name} = {number}u;");
    let moving = kernel.address == Address::Moving;
    let mut lines = vec![format!("const gradients_move = {moving};")];
    for variable in kernel.variables() {
        let name = &variable.name;
        lines.push(constant(&format!("{name}_group"), kernel.group(&variable)));
        lines.push(constant(&format!("{name}_binding"), kernel.binding(&variable)));
    }
    match kernel.spec.body {
        Body::Norm => {
            lines.push(constant("partials_binding", kernel.extra(0)));
            lines.push(constant("controller_binding", kernel.extra(1)));
            lines.push(constant("sums_binding", kernel.extra(2)));
        }
        Body::Update | Body::Stream | Body::Blend | Body::Accumulate => {
            lines.push(constant("sums_binding", kernel.extra(0)));
            if encodes(&kernel.spec) {
                lines.push(constant("tables_binding", kernel.extra(1)));
            }
            lines.push(constant("window", WINDOW));
        }
    }
    lines
}

/// The lines with the places of operands that have no column.
fn places(kernel: &KernelSpec) -> Vec<String> {
    let variables = kernel.variables();
    let rows = variables.iter().filter_map(|variable| {
        let column = OPERANDS[variable.operand].follows()?;
        let (name, row) = (&variable.name, variable.operand);
        let column = if column == PARAM { "param" } else { "state" };
        let distance = format!("launch.distances[{}u].{}", row / 4, ["x", "y", "z", "w"][row % 4]);
        Some(format!("fn {name}_at(at: Place) -> u32 {{ return at.{column} + {distance}; }}"))
    });
    rows.collect()
}

/// Whether a kernel encodes slots in blocks.
fn encodes(spec: &Spec) -> bool {
    spec.body == Body::Update && spec.in_blocks()
}

/// Joins the files of a code of blocks.
fn code_of_blocks(text: &mut Text, kernel: &KernelSpec, code: BlockCode) {
    let mut file = |name: &str, wgsl: &str| {
        let name = format!("{name} for {}", code.name());
        text.file(&name, &wgsl.replace("codec", &code.name()));
    };
    file("block/code.wgsl", include_str!("../../shaders/block/code.wgsl"));
    match kernel.spec.dithers {
        true => file("block/random.wgsl", include_str!("../../shaders/block/random.wgsl")),
        false => file("block/nearest.wgsl", include_str!("../../shaders/block/nearest.wgsl")),
    }
    match kernel.width {
        Width::Scalar => file("block/scalar.wgsl", include_str!("../../shaders/block/scalar.wgsl")),
        _ => file("block/quad.wgsl", include_str!("../../shaders/block/quad.wgsl")),
    }
}

/// The lines that load a rule's slots, and store them if the kernel does. Slots in blocks are fetched, and decoded
/// later.
fn state(spec: &Spec, rule: &RuleKey) -> Vec<String> {
    let in_blocks =
        |slot: usize| matches!(spec.state.get(slot), Code::Blocks(_)) && spec.body != Body::Stream;
    let load = |slot: usize| match slot {
        _ if slot >= rule.slots() || in_blocks(slot) => "real()".to_owned(),
        _ => blocks::started(rule, slot, &format!("load_slot_{slot}(i)")),
    };
    let loads: Vec<String> = (0..MAX_SLOTS).map(load).collect();
    let mut lines = vec!["fn load_state(i: u32, p: real, step: Scalars) {".to_owned()];
    if rule.slots() > 0 {
        lines.push(format!("    state = State({});", loads.join(", ")));
    }
    if encodes(spec) {
        let fetched = (0..rule.slots()).filter(|slot| in_blocks(*slot));
        lines.extend(fetched.map(|k| format!("    fetch_slot_{k}(i);")));
    }
    lines.push("}".to_owned());
    if spec.body == Body::Blend {
        return lines;
    }
    lines.push(match encodes(spec) {
        true => "fn store_state(i: u32, lane: u32) {".to_owned(),
        false => "fn store_state(i: u32) {".to_owned(),
    });
    lines.extend((0..rule.slots()).map(|k| match in_blocks(k) {
        true => format!("    store_slot_{k}(i, lane);"),
        false => format!("    store_slot_{k}(i, state[{k}]);"),
    }));
    lines.push("}".to_owned());
    lines
}

/// The lines that call the hooks beside the step.
fn beside(hooks: &[&Hook]) -> Vec<String> {
    let names = || hooks.iter().filter(|hook| hook.part == Part::Beside).map(|hook| hook.name);
    let mut lines = vec!["fn load_beside(at: Place) {".to_owned()];
    lines.extend(names().map(|name| format!("    load_{name}_beside(at);")));
    lines.push("}".to_owned());
    lines.push("fn store_beside(at: Place, weight: real, step: Scalars) {".to_owned());
    lines.extend(names().map(|name| format!("    store_{name}_beside(at, weight, step);")));
    lines.push("}".to_owned());
    lines
}

/// The text of the kernel `prepare`.
pub(crate) fn prepare_wgsl() -> String {
    let mut text = Text::default();
    let word = |name: &str| {
        let at = DriverScalars::NAMES.iter().position(|other| *other == name);
        format!("const {name}_word = {}u;", at.unwrap_or(DriverScalars::NAMES.len()))
    };
    text.lines(&["grad_scale", "clip", "skip", "first"].map(word));
    join!(text, "control/controller.wgsl");
    join!(text, "control/prepare.wgsl");
    text.0
}

/// The text of the kernel `mark`.
pub(crate) fn mark_wgsl() -> String {
    let mut text = Text::default();
    join!(text, "sums.wgsl");
    join!(text, "kernel/mark.wgsl");
    text.0
}
