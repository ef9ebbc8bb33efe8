//! Other ways to write the kernels: small edits of their WGSL, compiled beside the original.
//!
//! They are here to be measured, not to be shipped, so the library needs no switches for them. An edit
//! that does not find what it edits is an error.

use std::path::Path;

use wgpu_optim::Format;
use wgpu_optim::kernel::{Address, Kernel, Width};

use crate::family::FAMILIES;
use crate::module::{Checks, Module, WORKGROUP_SIZE, module};
use crate::subject::{Results, Subject, compile, on, steps};
use crate::table::Table;

/// The kernels that are varied: a rule, its switches that are on, and how workgroups find their elements.
const KERNELS: [(&str, &[&str], Address); 4] = [
    ("adam", &[], Address::Direct),
    ("adam", &[], Address::Table),
    ("rmsprop", &[], Address::Direct),
    ("sgd", &["MOMENTUM"], Address::Direct),
];

/// Whether a kernel is one of [`KERNELS`]: in f32, in quads, without anything beside what its rule needs.
fn is_varied(subject: &Subject) -> bool {
    let Subject { kernel, facts, .. } = subject;
    let on: Vec<&str> = on(kernel).collect();
    let is = |(rule, switches, address): &(&str, &[&str], Address)| {
        facts.rule == Some(rule) && on == *switches && facts.address == *address
    };
    let is_plain = facts.operands.len() == 2 + facts.slots.len()
        && facts.operands.iter().all(|operand| operand.stores == operand.written)
        && !facts.clear
        && !facts.in_blocks
        && !facts.summed;
    let is_wide = facts.width == Width::Vec4 && facts.formats == [Format::F32; 3];
    is_wide && is_plain && KERNELS.iter().any(is)
}

/// One way to write one kernel.
struct Variant {
    kernel: String,
    name: &'static str,
    wgsl: String,
    workgroup: u32,
    checks: Checks,
    /// `real`s to an invocation.
    reals: u32,
}

/// Where `shaders/kernel/update.wgsl` leaves the outside invocations out, and what comes before and behind.
const START: &str = "    let at = locate(workgroup, lane);\n";
const INSIDE: &str = "    if at.inside & !skipped() {\n";
const STEP: &str = "        commit(at, compute(at, step), step);\n";

/// The lines of `shaders/address/direct.wgsl` that find an invocation's place.
const SIGNATURE: &str = "fn locate(workgroup: vec3<u32>, lane: u32";
const NUMBER: &str = "    let part = workgroup.y * launch.row + workgroup.x;\n";
const PLACE: &str = "    let grad = launch.grad + i * GRAD_STRIDE;
    return Place(launch.param + i, grad, launch.state + i, 0u, part, left, inside);";

/// Roots and divisions, and a reciprocal root in their place: another formula, since ε moves under it.
const ROOTS: [(&str, &str); 2] = [
    (
        "m / (sqrt(hyper.v_scale * v + hyper.eps_root) + hyper.eps)",
        "m * inverseSqrt(hyper.v_scale * v + (hyper.eps_root + hyper.eps))",
    ),
    (
        "g / (sqrt(variance + hyper.eps_root) + hyper.eps)",
        "g * inverseSqrt(variance + (hyper.eps_root + hyper.eps))",
    ),
];

/// Compiles every variant for every family: a table for each.
pub(crate) fn compare(icd: &Path) -> Result<Vec<(Results, Table)>, String> {
    let steps = steps()?;
    let mut variants = Vec::new();
    for subject in steps.iter().filter(|subject| is_varied(subject)) {
        variants.push((subject, of_kernel(subject)?));
    }
    if variants.len() != KERNELS.len() {
        return Err(format!("{} kernels to vary, not {}", variants.len(), KERNELS.len()));
    }
    let modules = (variants.iter())
        .flat_map(|(subject, all)| all.iter().map(|variant| variant.module(subject)))
        .collect::<Result<Vec<_>, _>>()?;
    let all: Vec<Variant> = variants.into_iter().flat_map(|(_, all)| all).collect();
    let results = compile(icd, &FAMILIES, &modules)?;
    let with_table = |results: Results| {
        let table = table(&all, &results);
        (results, table)
    };
    Ok(results.into_iter().map(with_table).collect())
}

/// The variants that make sense for a kernel, itself first.
fn of_kernel(subject: &Subject) -> Result<Vec<Variant>, String> {
    let written = &subject.kernel.wgsl;
    let (workgroup, checks) = (WORKGROUP_SIZE, Checks::Unchecked);
    let kernel = || subject.name().replace("-own-update", "");
    let variant =
        |name, wgsl: String| Variant { kernel: kernel(), name, wgsl, workgroup, checks, reals: 1 };
    let same = |name| variant(name, written.clone());

    let mut all = vec![same("as shipped")];
    if subject.facts.address == Address::Direct {
        for (name, reals) in [("2 vec4s", 2), ("4 vec4s", 4)] {
            all.push(Variant { reals, ..variant(name, several(written, reals)?) });
        }
        for (name, workgroup) in [("workgroups of 64", 64), ("workgroups of 128", 128)] {
            all.push(Variant { workgroup, ..same(name) });
        }
        let uniform = "@group(1) @binding(0) var<uniform>";
        let storage = "@group(1) @binding(0) var<storage, read>";
        all.push(variant("scalars in storage", edited(written, uniform, storage)?));
        all.push(variant("loads before the branch", loads_first(written)?));
    }
    all.push(Variant { checks: Checks::Restrict, ..same("bounds checked") });
    for (old, new) in ROOTS {
        if written.contains(old) {
            all.push(variant("reciprocal root", edited(written, old, new)?));
        }
    }
    let uniform = "@group(0) @binding(0) var<uniform>";
    all.push(variant("launch in immediates", edited(written, uniform, "var<immediate>")?));
    Ok(all)
}

/// `wgsl` with `new` for `old`, which has to be there exactly once.
fn edited(wgsl: &str, old: &str, new: &str) -> Result<String, String> {
    match wgsl.matches(old).count() {
        1 => Ok(wgsl.replace(old, new)),
        count => Err(format!("a variant edits what is there {count} times, not once: {old}")),
    }
}

/// Outside invocations load the last `real` of their run, compute with the others, and leave only then.
/// Latency and throughput of this one do not compare with the others': see `Figures`.
fn loads_first(wgsl: &str) -> Result<String, String> {
    let clamp = "    let at = min(i, launch.length - 1u);\n";
    let wgsl = edited(wgsl, PLACE, &format!("{clamp}{}", PLACE.replace("+ i", "+ at")))?;
    let wgsl = edited(&wgsl, INSIDE, "    {\n")?;
    let outside = "        if !at.inside | skipped() {\n            return;\n        }\n";
    let load = "        let x = compute(at, step);\n";
    edited(&wgsl, STEP, &format!("{load}{outside}        commit(at, x, step);\n"))
}

/// Several `real`s to an invocation, a workgroup apart, so that neighbours still load neighbours. All
/// of them are inside, or none: another launch has to take what is left over.
fn several(wgsl: &str, reals: u32) -> Result<String, String> {
    let each = |lines: &[&str]| -> String {
        (0..reals).map(|part| lines.concat().replace('#', &part.to_string())).collect()
    };
    // The kernel's own statements, with each part's own names.
    let load = [
        "    let p_# = load_weight(at_#);\n",
        "    let loaded_# = load_gradient(at_#.grad, u32(step.sums));\n",
        "    load_state(at_#.state, p_#, step);\n",
    ];
    let compute = "    let g_# = step.grad_scale * loaded_# + step.l2 * p_#;\n";
    let store = ["    let weight_# = store_weight(at_#, ", "    store_state(at_#.state);\n"];
    let direction = "direction(p_#, g_#, step.hyper)";
    let rest = ", step.lr, step.decay)";
    let (returned, key) =
        (format!("stepped(p_#, {direction}{rest}"), "vec2(step.noise_0, step.noise_1)");
    for line in load.iter().chain([&compute, &returned.as_str(), &key]).chain(&store) {
        edited(wgsl, &line.replace("_#", ""), "")?;
    }
    let stored = format!("{}stepped(p_#, u_#{rest}, {key});\n", store[0]);
    let moved = format!("    let u_# = {direction};\n");
    let inside = INSIDE.replace("at.", &format!("at_{}.", reals - 1));
    let body = [
        each(&["    let at_# = locate(workgroup, lane, #u);\n"]),
        "    let step = scalars_of(at_0);\n".to_owned(),
        inside,
        each(&[&load[..], &["    let old_# = state;\n"]].concat()),
        each(&["    state = old_#;\n", compute, &moved, "    let new_# = state;\n"]),
        each(&["    state = new_#;\n", &stored, store[1]]),
        "    }\n}\n".to_owned(),
    ];
    // The entry point is what a kernel ends with.
    let (before, _) = wgsl.split_once(START).ok_or("a variant finds no start of the kernel")?;
    let wgsl = format!("{before}{}", body.concat());
    let wgsl = edited(&wgsl, SIGNATURE, &format!("{SIGNATURE}, which: u32"))?;
    let workgroup = "workgroup.y * launch.row + workgroup.x";
    let number = NUMBER.replace(workgroup, &format!("({workgroup}) * {reals}u + which"));
    edited(&wgsl, NUMBER, &number)
}

impl Variant {
    fn full_name(&self) -> String {
        format!("{}/{}", self.kernel, self.name)
    }

    fn module(&self, subject: &Subject) -> Result<Module, String> {
        let name = self.full_name();
        let kernel = Kernel { name, wgsl: self.wgsl.clone(), ..subject.kernel.clone() };
        module(&kernel, self.workgroup, self.checks)
    }
}

/// The figures of the variants on one family.
fn table(variants: &[Variant], results: &Results) -> Table {
    let head = vec![
        "kernel",
        "variant",
        "VGPRs",
        "waves",
        "instrs",
        "latency",
        "inv. thr.",
        "a vec4",
        "change",
        "loads in flight",
        "KiB a SIMD",
    ];
    let mut shipped = 0.0;
    let mut rows = Vec::new();
    for variant in variants {
        let Some(built) = results.kernels.get(&variant.full_name()) else { continue };
        let figures = &built.figures;
        let a_vec4 = figures.inverse_throughput as f64 / f64::from(variant.reals);
        if variant.name == "as shipped" {
            shipped = a_vec4;
        }
        let in_flight = figures.code.in_flight;
        // 16 bytes to each lane.
        let kib = figures.waves * results.family.lanes_a_wave() * u64::from(in_flight) / 64;
        rows.push(vec![
            variant.kernel.clone(),
            variant.name.to_owned(),
            figures.vgprs.to_string(),
            figures.waves.to_string(),
            figures.code.instructions.to_string(),
            figures.latency.to_string(),
            figures.inverse_throughput.to_string(),
            format!("{a_vec4:.0}"),
            format!("{:+.0} %", (a_vec4 / shipped - 1.0) * 100.0),
            in_flight.to_string(),
            kib.to_string(),
        ]);
    }
    Table { head, rows }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every edit applies to the kernels as they are, and every result is valid.
    #[test]
    fn every_variant_compiles() -> Result<(), String> {
        let steps = steps()?;
        for subject in steps.iter().filter(|subject| is_varied(subject)) {
            for variant in of_kernel(subject)? {
                let module = variant.module(subject);
                let module = module.map_err(|e| format!("{}: {e}", variant.full_name()))?;
                assert!(!module.spirv.is_empty());
            }
        }
        Ok(())
    }

    #[test]
    fn an_edit_applies_once_or_fails() {
        assert_eq!(edited("a b", "b", "c").as_deref(), Ok("a c"));
        assert!(edited("a b", "x", "c").is_err() && edited("b b", "b", "c").is_err());
    }
}
