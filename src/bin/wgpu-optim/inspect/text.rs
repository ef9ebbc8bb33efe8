//! The contents of a checkpoint as text.

use serde_json::json;
use wgpu_optim::{Accumulation, Control, LossScale, Norm};

use super::{CONFIG, Contents, Param, Tensor};

/// A text in which nothing but letters and signs reaches the terminal: all else is escaped.
pub(super) fn printable(text: &str) -> String {
    let mut all = String::new();
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => all.push(c),
            // After a letter, so that an accent stays on its own.
            _ => all += &format!("a{c}").escape_debug().collect::<String>()[1..],
        }
    }
    all
}

/// The options for all groups that are not at their defaults, in CONFIG's words.
fn control(contents: &Contents) -> Vec<String> {
    let Control {
        clip_norm,
        norm,
        clip_value,
        loss_scale,
        skip_nonfinite,
        accumulation,
        zero_grad,
    } = contents.control;
    let number = |key: &str, x: f64| format!("{key} {}", json!(x));
    let mut all = Vec::new();
    all.extend(clip_norm.map(|most| number("clip_norm", most)));
    if norm == Norm::Largest {
        all.push("norm largest".to_owned());
    }
    all.extend(clip_value.map(|most| number("clip_value", most)));
    match loss_scale {
        LossScale::Fixed(1.0) => {}
        LossScale::Fixed(scale) => all.push(number("loss_scale", scale)),
        scale if scale == LossScale::dynamic() => all.push("loss_scale dynamic".to_owned()),
        LossScale::Dynamic { init, growth, backoff, interval } => {
            let own = json!({
                "init": init, "growth": growth, "backoff": backoff, "interval": interval
            });
            all.push(format!("loss_scale {own}"));
        }
        // Every kind there is.
        other => all.push(format!("loss_scale {other:?}")),
    }
    if skip_nonfinite {
        all.push("skip_nonfinite true".to_owned());
    }
    all.extend(contents.accumulate.filter(|of| *of != 1).map(|of| format!("accumulate {of}")));
    if accumulation == Accumulation::Sum {
        all.push("accumulation sum".to_owned());
    }
    if zero_grad {
        all.push("zero_grad true".to_owned());
    }
    all
}

/// A checkpoint for people to read.
pub(super) fn text(contents: &Contents) -> String {
    let Contents { steps, steps_taken, steps_skipped, bytes, added, .. } = contents;
    let mut all = format!(
        "format {}, {bytes} bytes, {steps} steps recorded, {steps_taken} taken, {steps_skipped} skipped",
        contents.version
    );
    if *added > 0 {
        all += &format!(", {added} gradients added up");
    }
    let control = control(contents);
    if !control.is_empty() {
        all += &format!("\n{}", control.join(", "));
    }
    if let (Some(scale), Some(tracker)) = (contents.loss_scale, contents.growth_tracker) {
        all += &format!("\nloss scale {scale}, {tracker} finite steps since it changed");
    }
    // The config of `replay` is long, and its options are those of the groups.
    let is_config = |key: &str| key == CONFIG && contents.accumulate.is_some();
    for (key, note) in contents.notes.iter().filter(|(key, _)| !is_config(key)) {
        all += &format!("\nnote {}: {}", printable(key), printable(note));
    }
    for (i, group) in contents.groups.iter().enumerate() {
        all += &format!(
            "\n\ngroup {i}: {}, {} steps, {} parameters, {} bytes\n",
            printable(&group.optimizer),
            group.steps,
            group.params.len(),
            group.bytes
        );
        let options = group.options.iter().filter(|(key, _)| *key != "optimizer");
        let options = options.map(|(key, value)| match &group.rates {
            Some(rates) if key == "lr" => format!("lr: a list of {}", rates.len()),
            _ => printable(&format!("{key} {value}")),
        });
        all += &format!("  {}\n", options.collect::<Vec<_>>().join(", "));
        for param in &group.params {
            let Param { name, shape, step, skipped, bytes, .. } = param;
            let name = printable(name);
            let frozen = if param.frozen { ", frozen" } else { "" };
            all += &format!(
                "  {name} {shape:?}: step {step}, {skipped} skipped, {bytes} bytes{frozen}\n"
            );
            for Tensor { slot, dtype, norm, largest, nonfinite, blocks, .. } in &param.tensors {
                let slot = printable(slot);
                let dtype = blocks.as_ref().map_or(dtype, |blocks| &blocks.format);
                all += &format!(
                    "    {slot:<16} {dtype:<4} norm {norm:<12.6e} largest {largest:<12.6e} non-finite {nonfinite}\n"
                );
                all.extend(blocks.as_ref().map(|blocks| format!("{:21}{}\n", "", blocks.line())));
            }
        }
    }
    all
}
