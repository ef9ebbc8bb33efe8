//! This module holds steps with state in blocks to a budget: what they have beyond a step over f32, and how much longer
//! they take.
//!
//! Their loads and stores are the traffic of the model, as in any other step. The workgroup shares memory and meets at
//! barriers, and finding codes takes arithmetic and branches. All of these have limits.
//!
//! Limits of arithmetic are the figures of Mesa 22.3.6 on 2026-11-28 and 5 % more.

use std::collections::BTreeSet;

use wgpu_optim::Format;
use wgpu_optim::kernel::{Facts, OperandFact, Width};

use crate::budget::over;
use crate::family::Family;
use crate::subject::{Figures, Results, Subject, lanes, like};

/// Bytes of each access to an operand in blocks: a word of codes, and the scale of a block.
pub(crate) const ACCESSES: [u32; 2] = [4, 4];

/// Bytes of a load of a table, of which each lane that fills does one. It is the same from storage and from a uniform,
/// because lanes read different places.
pub(crate) const OF_TABLE: u32 = 16;

/// The driver gives workgroup memory in pieces of so many bytes.
const GRANULE: u64 = 512;

/// Barriers: behind the tables, behind each number's magnitude, and behind the largest of some.
const BARRIERS: u32 = 3;

/// The most branches around what not every lane does, and those that each slot has besides: for scales without a
/// reciprocal, and for the lanes that store a word or a scale. RDNA has 5, and GCN up to 7. All loops are unrolled, so
/// none of the branches leads back.
const BRANCHES: [usize; 2] = [7, 5];

/// The operands in blocks.
pub(crate) fn slots(facts: &Facts) -> impl Iterator<Item = &OperandFact> {
    facts.operands.iter().filter(|operand| operand.blocks.is_some())
}

/// The number of slots in blocks.
pub(crate) fn count(facts: &Facts) -> u32 {
    slots(facts).count() as u32
}

/// The number of tables, one for each code.
pub(crate) fn tables(facts: &Facts) -> usize {
    slots(facts)
        .filter_map(|slot| slot.blocks.map(|code| code.name()))
        .collect::<BTreeSet<_>>()
        .len()
}

/// The bytes of workgroup memory that the driver gives a kernel.
pub(crate) fn memory(facts: &Facts) -> u64 {
    facts.block_memory.next_multiple_of(GRANULE)
}

/// The most branches of a kernel.
pub(crate) fn branches(facts: &Facts) -> usize {
    let [first, each] = BRANCHES;
    // Tables of different lengths are filled by different lanes.
    let lengths: BTreeSet<u32> = slots(facts).map(|slot| slot.bits).collect();
    first + each * slots(facts).count() + lengths.len() - 1 + usize::from(facts.clear)
}

/// Whether an instruction loads from a workgroup's memory or stores to it.
pub(crate) fn is_shared(name: &str) -> bool {
    ["ds_read", "ds_write", "ds_load", "ds_store"].iter().any(|start| name.starts_with(start))
}

/// The barriers of a kernel: one more where several invocations' codes share a word.
pub(crate) fn barriers(facts: &Facts) -> u32 {
    let shares = slots(facts).any(|slot| slot.bits * lanes(facts) < 32);
    if facts.in_blocks { BARRIERS + u32::from(shares) } else { 0 }
}

/// The facts of the same kernel with its blocks in f32. Kernels that take gradients by words are compared with those
/// in quads, because not every one is there in f32; the three loads more cost next to nothing beside blocks.
fn in_f32(facts: &Facts) -> Facts {
    let width = if facts.width == Width::Loose { Width::Vec4 } else { facts.width };
    let mut facts = like(facts, width, facts.address);
    (facts.in_blocks, facts.dithers, facts.block_memory) = (false, false, 0);
    for operand in facts.operands.iter_mut().filter(|operand| operand.blocks.is_some()) {
        (operand.bits, operand.format, operand.blocks) = (32, Some(Format::F32), None);
    }
    facts
}

/// Everything in which kernels with blocks cost too much next to those over f32, in words.
pub(crate) fn check(subjects: &[Subject], results: &[Results]) -> Vec<String> {
    let plain: Vec<(Facts, &Subject)> = (subjects.iter().filter(|one| !one.facts.in_blocks))
        .map(|one| (like(&one.facts, one.facts.width, one.facts.address), one))
        .collect();
    let mut all = Vec::new();
    for subject in subjects.iter().filter(|one| one.facts.in_blocks) {
        let wanted = in_f32(&subject.facts);
        let switches = &subject.kernel.switches;
        let base = plain
            .iter()
            .find(|(facts, other)| *facts == wanted && other.kernel.switches == *switches);
        for results in results {
            let figures = |one: &Subject| Some(&results.kernels.get(one.name())?.figures);
            let found = match (figures(subject), base.and_then(|(_, base)| figures(base))) {
                (Some(is), Some(base)) => past(&subject.facts, results.family, is, base),
                _ => vec!["no kernel over f32 to compare with".to_owned()],
            };
            all.extend(found.iter().map(|what| over(subject.name(), results.family, what)));
        }
    }
    all
}

/// The figures of one kernel that are past what the same kernel over f32 allows.
fn past(facts: &Facts, family: Family, is: &Figures, base: &Figures) -> Vec<String> {
    let mut found = Vec::new();
    let least = waves(family);
    if is.waves < least {
        found.push(format!("waves: {}, allowed at least {least}", is.waves));
    }
    let cost = cost(facts, family);
    let (is, base) = (is.inverse_throughput, base.inverse_throughput);
    let most = (base + cost) * 105 / 100;
    if is > most {
        found.push(format!("inverse throughput: {is}, allowed {most}, as f32 has {base}"));
    }
    found
}

/// The fewest waves to a SIMD: those that [`crate::budget::VGPRS`] leave. Workgroup memory leaves more.
fn waves(family: Family) -> u64 {
    match family {
        Family::Navi21 | Family::Gfx1100 => 16,
        Family::Vega10 => 4,
    }
}

/// The cycles of inverse throughput that blocks add to those of f32: for the tables, and for each slot. The largest
/// figures of one slot are those of Schedule-Free AdamW and Signum. ADAM in 8 bits takes 5.4, 5.5 and 4.9 times the
/// cycles of ADAM over f32 (navi21, gfx1100, vega10), and with codes at random 10.2, 10.2 and 8.4 times.
fn cost(facts: &Facts, family: Family) -> u64 {
    let is_wide = lanes(facts) > 1;
    let [first, each] = match (family, is_wide, facts.dithers) {
        (Family::Navi21, true, false) => [45, 265],
        (Family::Gfx1100, true, false) => [40, 280],
        (Family::Vega10, true, false) => [80, 640],
        (Family::Navi21, true, true) => [100, 565],
        (Family::Gfx1100, true, true) => [100, 580],
        (Family::Vega10, true, true) => [220, 1230],
        (Family::Navi21, false, false) => [20, 135],
        (Family::Gfx1100, false, false) => [25, 140],
        (Family::Vega10, false, false) => [30, 320],
        (Family::Navi21, false, true) => [40, 205],
        (Family::Gfx1100, false, true) => [45, 205],
        (Family::Vega10, false, true) => [50, 550],
    };
    first + each * u64::from(count(facts))
}

#[cfg(test)]
mod tests {
    use wgpu_optim::kernel::Address;

    use super::*;
    use crate::budget::violations;
    use crate::code::Code;
    use crate::subject::steps;

    /// A rule with one slot in blocks, as a well compiled kernel of it looks.
    const GOOD: &str = "BB0:
\ts_buffer_load_dwordx4 s[8:11], s[8:11], null
\ts_cbranch_execz BB2
\tbuffer_load_dwordx4 v[4:7], v1, s[4:7], 0 offen
\tbuffer_load_dwordx4 v[8:11], v2, s[16:19], 0 offen
\tbuffer_load_dword v12, v0, s[20:23], 0 offen
\tbuffer_load_dword v13, v3, s[20:23], 0 offen
BB2:
\tbuffer_load_dwordx4 v[16:19], v2, s[16:19], 0 offen
\tds_write_b128 v2, v[16:19]
\ts_barrier
\tds_write_b32 v1, v2
\ts_barrier
\tds_read_b32 v1, v2
\ts_barrier
\tv_sqrt_f32_e32 v2, v2
\tv_rcp_f32_e32 v3, v3
\tbuffer_store_dwordx4 v[2:5], v0, s[20:23], 0 offen
\tbuffer_store_dword v8, v1, s[4:7], 0 offen
\tbuffer_store_dword v9, v1, s[4:7], 0 offen
\ts_endpgm
";

    /// The subjects with one slot, which is in blocks of `bits`, and nothing beside.
    fn of_one_slot(all: &[Subject], bits: u32, dithers: bool) -> Subject {
        let is = |subject: &&Subject| {
            let facts = &subject.facts;
            let slot = facts.operands.iter().find(|operand| operand.name == "slot_0");
            (facts.width, facts.address, facts.slots.len()) == (Width::Vec4, Address::Direct, 1)
                && slot.is_some_and(|slot| slot.blocks.is_some() && slot.bits == bits)
                && facts.operands.iter().all(|operand| operand.stores == operand.written)
                && (facts.operands.len(), facts.clear, facts.dithers) == (3, false, dithers)
                && facts.formats == [Format::F32; 3]
        };
        all.iter().find(is).cloned().unwrap_or_else(|| panic!("no kernel like that"))
    }

    fn figures(facts: &Facts, assembly: &str) -> Figures {
        Figures {
            vgprs: 40,
            sgprs: 128,
            waves: 24,
            code_size: 400,
            latency: 800,
            inverse_throughput: 100,
            spills: 0,
            scratch: 0,
            local_memory: memory(facts),
            copies: 4,
            code: Code::read(assembly),
        }
    }

    #[test]
    fn each_kind_of_bad_code_is_named() -> Result<(), String> {
        let subject = of_one_slot(&steps()?, 8, false);
        let after = |old: &str, new: &str| {
            assert!(GOOD.contains(old), "{old:?} is not in the example");
            violations(&subject, &figures(&subject.facts, &GOOD.replacen(old, new, 1)))
        };
        assert_eq!(after("BB0:", "BB0:"), [""; 0]);
        let load = "\tbuffer_load_dword v13, v3, s[20:23], 0 offen\n";
        let table = "\tbuffer_load_dwordx4 v[16:19], v2, s[16:19], 0 offen\n";
        let scale = "\tbuffer_store_dword v9, v1, s[4:7], 0 offen\n";
        let cases = [
            ("BB2:", load, "loads by bytes: {4: 3, 16: 3}, allowed exactly {4: 2, 16: 3}"),
            (table, "", "loads by bytes: {4: 2, 16: 2}, allowed exactly {4: 2, 16: 3}"),
            (scale, "", "stores by bytes: {4: 1, 16: 1}, allowed exactly {4: 2, 16: 1}"),
            ("BB2:", "\ts_barrier\n", "barriers: 4, allowed exactly 3"),
            ("\ts_barrier\n", "", "barriers: 2, allowed exactly 3"),
            (
                "BB2:",
                "\ts_cbranch_scc1 BB2\n",
                "branches: [\"s_cbranch_execz\", \"s_cbranch_scc1\"]",
            ),
            ("BB2:", &"\ts_cbranch_execz BB2\n".repeat(12), "branches: [\"s_cbranch_execz\""),
            ("BB2:", &"\tv_rcp_f32_e32 v1, v1\n".repeat(5), "reciprocals: 6, allowed at most 5"),
            ("BB2:", "\tv_min_u32_e32 v1, s4, v1\n", "clamps of an index by lane: 1, allowed none"),
            ("BB2:", "\tscratch_load_dword v1, v2\n", "other access to memory"),
            ("BB2:", "\tds_add_u32 v1, v2\n", "other access to memory: [\"ds_add_u32\"]"),
        ];
        for (old, new, expected) in cases {
            let found = after(old, new);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{found:?}: {expected}");
        }
        let late = GOOD.replacen(load, "", 1).replacen(scale, &format!("{scale}{load}"), 1);
        let found = violations(&subject, &figures(&subject.facts, &late));
        assert_eq!(found, ["loads behind a store: 1, allowed none"]);
        let mut more = figures(&subject.facts, GOOD);
        more.local_memory += GRANULE;
        let found = violations(&subject, &more);
        assert_eq!(found, ["bytes of local memory: 4096, allowed exactly 3584"]);
        Ok(())
    }

    /// Codes of four bits in quads share words: a barrier more. Those at random take a minimum for each element.
    #[test]
    fn codes_have_barriers_and_minima_of_their_own() -> Result<(), String> {
        let all = steps()?;
        let found = |subject: &Subject| violations(subject, &figures(&subject.facts, GOOD));
        assert_eq!(found(&of_one_slot(&all, 4, false)), ["barriers: 3, allowed exactly 4"]);
        let random = ["clamps of an index by lane: 0, allowed exactly 4, the rule's own"];
        assert_eq!(found(&of_one_slot(&all, 8, true)), random);
        Ok(())
    }

    #[test]
    fn a_slot_costs_so_much() -> Result<(), String> {
        let subject = of_one_slot(&steps()?, 8, false);
        let base = figures(&subject.facts, GOOD);
        let mut is = base.clone();
        let most = (100 + cost(&subject.facts, Family::Navi21)) * 105 / 100;
        (is.inverse_throughput, is.waves) = (most, 16);
        assert_eq!(past(&subject.facts, Family::Navi21, &is, &base), [""; 0]);
        (is.inverse_throughput, is.waves) = (most + 1, 15);
        let throughput =
            format!("inverse throughput: {}, allowed {most}, as f32 has 100", most + 1);
        let waves = "waves: 15, allowed at least 16".to_owned();
        assert_eq!(past(&subject.facts, Family::Navi21, &is, &base), [waves, throughput]);
        Ok(())
    }

    /// Every kernel with blocks has one over f32 that it is compared with.
    #[test]
    fn kernels_over_f32_are_found() -> Result<(), String> {
        let steps = steps()?;
        let of = |one: &Subject| like(&one.facts, one.facts.width, one.facts.address);
        let facts: Vec<Facts> = steps.iter().map(of).collect();
        let in_blocks = || steps.iter().filter(|one| one.facts.in_blocks);
        assert!(in_blocks().count() > 0);
        for subject in in_blocks() {
            assert!(facts.contains(&in_f32(&subject.facts)), "{}", subject.name());
        }
        Ok(())
    }
}
