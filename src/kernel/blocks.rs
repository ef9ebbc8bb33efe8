//! This module has the text of kernels for slots in blocks: tables of codes, and the lines that run over the slots.

use super::layout::tables_are_storage;
use super::spec::KernelSpec;
use crate::model::RuleKey;
use crate::num::{BlockCode, WORD};
use crate::num::{Code, SlotCodes};
use crate::plan::Width;
use crate::rule::MAX_SLOTS;

/// The invocations of a workgroup that encodes blocks: `LANES` in `shaders/block/tables.wgsl`.
const LANES: u64 = 256;

/// The bytes of workgroup memory that a kernel with these slots needs.
pub(crate) fn block_memory(codes: &SlotCodes) -> u64 {
    let slots = (0..MAX_SLOTS).filter(|slot| is_in_blocks(codes, *slot)).count() as u64;
    // Each code has its numbers and limits, and each slot a word for each invocation and for each part of a block.
    let tables = codes.blocks().into_iter().map(|code| code.words(false).len() as u64);
    (tables.sum::<u64>() + slots * (LANES + LANES / 4)) * WORD
}

/// The bytes of workgroup memory that this kernel has for its slots in blocks: at most [`block_memory`].
pub(super) fn memory(kernel: &KernelSpec) -> u64 {
    let state = &kernel.spec.state;
    let tables: u64 = state.blocks().into_iter().map(|code| code.words(false).len() as u64).sum();
    let of_slot = |slot| match state.get(slot) {
        Code::Blocks(code) => {
            let (reals, parts) = blocked(code, kernel.width);
            LANES + LANES / reals * parts
        }
        _ => 0,
    };
    (tables + (0..MAX_SLOTS).map(of_slot).sum::<u64>()) * WORD
}

/// The `real`s of a block, and the parts in which its largest magnitude is found. Two rounds find it. They take about as
/// many looks each.
fn blocked(code: BlockCode, width: Width) -> (u64, u64) {
    let reals = code.block() / width.elements();
    (reals, 1 << (reals.ilog2() / 2))
}

fn is_in_blocks(codes: &SlotCodes, slot: usize) -> bool {
    matches!(codes.get(slot), Code::Blocks(_))
}

/// The constants of a code, for a kernel of some width.
fn constants(code: BlockCode, width: Width, first: usize) -> Vec<String> {
    let name = code.name();
    let (reals, parts) = blocked(code, width);
    let stride = u64::from(code.bits()) * width.elements();
    [
        ("bits", u64::from(code.bits())),
        ("entries", code.numbers().len() as u64),
        ("words", code.words(false).len() as u64),
        ("first", first as u64),
        ("zero", code.zero().into()),
        // As many codes of 0 as a `real` has.
        ("zeros", u64::from(code.zeros()) & (u64::MAX >> (64 - stride))),
        ("reals", reals),
        ("record", code.blocks.record()),
        ("stride", stride),
        ("share", 32 / stride),
        ("parts", parts),
    ]
    .map(|(what, number)| format!("const {name}_{what} = {number}u;"))
    .into_iter()
    .chain([
        format!("const {name}_signed = {};", code.is_signed()),
        // Fewer steps than lead beyond the first code or the last, so that all codes lie in the table.
        format!("const {name}_most = {:?};", code.most_steps()),
        lowest(code),
    ])
    .collect()
}

/// The function that finds the lowest line of a code.
fn lowest(code: BlockCode) -> String {
    let lines = code.lines().into_iter().map(|[slope, start]| format!("{slope:?} * y + {start:?}"));
    let lowest = lines.reduce(|all, line| format!("min({all}, {line})")).unwrap_or_default();
    format!("fn lowest_{}(y: real) -> real {{ return {lowest}; }}", code.name())
}

/// The lines with the numbers of all codes of a kernel.
pub(super) fn numbers(kernel: &KernelSpec) -> Vec<String> {
    let mut lines = Vec::new();
    let mut first = 0;
    for code in kernel.spec.state.blocks() {
        lines.extend(constants(code, kernel.width, first));
        first += code.words(kernel.spec.dithers).len() / 4;
    }
    lines.push(format!("const tables_length = {first}u;"));
    lines
}

/// The line that declares the tables.
pub(super) fn declared(kernel: &KernelSpec) -> String {
    let space = if tables_are_storage(kernel) { "storage, read" } else { "uniform" };
    format!(
        "@group(0) @binding(tables_binding) var<{space}> tables: array<vec4<f32>, tables_length>;"
    )
}

/// The lines that run over the slots in blocks.
pub(super) fn state(kernel: &KernelSpec, rule: &RuleKey) -> Vec<String> {
    let spec = &kernel.spec;
    let slots: Vec<usize> =
        (0..rule.slots()).filter(|slot| is_in_blocks(&spec.state, *slot)).collect();
    let mut lines = Vec::new();
    let mut function = |head: &str, body: Vec<String>| {
        lines.push(format!("fn {head} {{"));
        lines.extend(body.into_iter().map(|line| format!("    {line}")));
        lines.push("}".to_owned());
    };
    let each = |line: &dyn Fn(usize) -> String| slots.iter().map(|slot| line(*slot)).collect();
    let codes = spec.state.blocks();
    function(
        "fill_tables(lane: u32)",
        codes.iter().map(|code| format!("fill_{}(lane);", code.name())).collect(),
    );
    function(
        "decode_state(p: real, step: Scalars)",
        each(&|k| {
            let decoded = format!("load_slot_{k}()");
            format!("state[{k}] = {};", started(rule, k, &decoded))
        }),
    );
    function("measure_state(lane: u32)", each(&|k| format!("measure_slot_{k}(lane, state[{k}]);")));
    function("gather_state(lane: u32)", each(&|k| format!("gather_slot_{k}(lane);")));
    let random = |k: usize| match spec.dithers {
        true => format!("noise(elements(at.param) + launch.first, vec2(step.state_noise, {k}.0))"),
        false => "real_bits()".to_owned(),
    };
    function(
        "encode_state(lane: u32, at: Place, step: Scalars)",
        each(&|k| format!("encode_slot_{k}(lane, state[{k}], {});", random(k))),
    );
    // Codes of several invocations share a word.
    let shares = codes
        .iter()
        .any(|code| u64::from(code.bits()) * kernel.width.elements() < 32)
        .then(|| "workgroupBarrier();".to_owned());
    function("share_state()", shares.into_iter().collect());
    lines
}

/// A slot's number, which at the first step is the slot's start in place of the `loaded` number.
pub(super) fn started(rule: &RuleKey, slot: usize, loaded: &str) -> String {
    match slot {
        _ if rule.starts_at_zero(slot) => loaded.to_owned(),
        _ if rule.starts_at_param(slot) => format!("select({loaded}, p, step.first > 0.0)"),
        _ => format!("select({loaded}, real(step.start_{slot}), step.first > 0.0)"),
    }
}
