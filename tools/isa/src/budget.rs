//! The budget of a step: the traffic of the model, and next to nothing else.

use wgpu_optim::Format;
use wgpu_optim::kernel::{Address, Facts, Width};

use crate::blocks;
use crate::code::Accesses;
use crate::family::Family;
use crate::subject::{Figures, Results, Subject, like};

/// Vector registers: with these, 8 subgroups of 64 fit a SIMD of RDNA, 4 one of GCN.
pub(crate) const VGPRS: u64 = 64;

/// The only branch: around everything, for the invocations past the end.
const BRANCHES: [&str; 1] = ["s_cbranch_execz"];

/// Words of `Launch` fetched: five for direct; for a table three, by a load of four.
const LAUNCH: [u32; 2] = [5, 4];

/// Words of a chunk, which only a table has.
const CHUNK: u32 = 4;

/// How much more than another kernel one may cost that differs in width or addressing.
struct Margin {
    /// The other kernel.
    than: &'static str,
    width: Width,
    address: Address,
    /// Inverse throughput, in percent. It holds where there is arithmetic to count, in kernels of four elements
    /// with state. Elsewhere the figure is latency divided among the waves of a SIMD, and latency has a limit of
    /// its own.
    percent: u64,
    /// Cycles by which a wave may end later.
    cycles: u64,
}

/// The margins of a kernel.
fn margins(facts: &Facts) -> Vec<Margin> {
    let (width, address) = (facts.width, facts.address);
    let mut all = match address {
        Address::Direct => Vec::new(),
        // One scalar load more, the chunk's, at an address that another load brought. ACO takes such a load for
        // 200 cycles. 5 % are aimed at; only SGD with momentum on vega10 has more, 5.1.
        Address::Table => {
            let address = Address::Direct;
            // Where slots start elsewhere than at 0, their numbers are one more such load, up to 75 cycles; 326 cycles
            // are the most, of Schedule-Free SGD with an average.
            let (percent, cycles) = if facts.starts { (9, 330) } else { (6, 240) };
            vec![Margin { than: "direct", width, address, percent, cycles }]
        }
        // One set of descriptors more, and scalars in storage, whose load waits for its descriptor: at most 129 cycles,
        // of SGD on single elements with an average. SGD with momentum on vega10, whose figure is next to latency
        // alone, has 12.3 % and 8.4 %, anything else at most 5.1 %.
        Address::Moving => {
            let address = Address::Table;
            vec![Margin { than: "a table", width, address, percent: 13, cycles: 130 }]
        }
    };
    // Four loads of a word in place of one of four words, issued one after the other: at most 124 cycles, of ASGD
    // with clipping, and 10.3 %, of centered RMSProp with cautious decay.
    if width == Width::Loose {
        let width = Width::Vec4;
        let percent = if facts.starts { 13 } else { 11 };
        all.push(Margin { than: "vec4", width, address, percent, cycles: 125 });
    }
    all
}

/// Everything that is over budget, in words.
pub(crate) fn check(subjects: &[Subject], results: &[Results]) -> Vec<String> {
    let same = |facts: &Facts| like(facts, facts.width, facts.address);
    let facts: Vec<Facts> = subjects.iter().map(|subject| same(&subject.facts)).collect();
    // Other formats tell no more than f32: their arithmetic hides the rest.
    let is_compared = |subject: &Subject| subject.facts.operands.iter().all(|one| one.bits == 32);
    let mut margined = Vec::new();
    for subject in subjects.iter().filter(|subject| is_compared(subject)) {
        for margin in margins(&subject.facts) {
            let wanted = like(&subject.facts, margin.width, margin.address);
            let other = subjects.iter().zip(&facts).find(|(other, facts)| {
                **facts == wanted && other.kernel.switches == subject.kernel.switches
            });
            margined.extend(other.map(|(other, _)| (subject, margin, other)));
        }
    }
    let mut all = Vec::new();
    for results in results {
        let mut over = |subject: &Subject, what: &str| {
            all.push(over(subject.name(), results.family, what));
        };
        for subject in subjects {
            match results.kernels.get(subject.name()) {
                Some(built) => {
                    let found = violations(subject, &built.figures);
                    found.iter().for_each(|what| over(subject, what));
                }
                None => over(subject, "not compiled"),
            }
        }
        let figures = |subject: &Subject| Some(&results.kernels.get(subject.name())?.figures);
        for (subject, margin, other) in &margined {
            if let (Some(is), Some(base)) = (figures(subject), figures(other)) {
                let found = past(margin, subject, is, base);
                found.iter().for_each(|what| over(subject, what));
            }
        }
    }
    all
}

/// How many accesses there are of each width in bytes.
pub(crate) fn counted(accesses: &[u32]) -> Accesses {
    let mut counted = Accesses::new();
    for bytes in accesses {
        *counted.entry(*bytes).or_default() += 1;
    }
    counted
}

pub(crate) fn over(kernel: &str, family: Family, what: &str) -> String {
    format!("{kernel} on {}: {what}", family.name())
}

/// The figures of one kernel that are over budget.
pub(crate) fn violations(subject: &Subject, figures: &Figures) -> Vec<String> {
    let code = &figures.code;
    let mut found = Vec::new();
    let mut hold = |fits: bool, what: &str, is: &dyn std::fmt::Debug, allowed: &str| {
        if !fits {
            found.push(format!("{what}: {is:?}, allowed {allowed}"));
        }
    };

    // Vector accesses: parameter, gradient and state in, parameter and state out. Chunks and scalars
    // are the same for all lanes, so they must not be among them.
    let (loads, stores) = (counted(&subject.read), counted(&subject.written));
    hold(code.loads == loads, "loads by bytes", &code.loads, &format!("exactly {loads:?}"));
    hold(code.stores == stores, "stores by bytes", &code.stores, &format!("exactly {stores:?}"));
    hold(code.late_loads == 0, "loads behind a store", &code.late_loads, "none");
    let blocks = subject.facts.in_blocks;
    let other: Vec<&String> =
        code.other_memory.iter().filter(|name| !(blocks && blocks::is_shared(name))).collect();
    hold(other.is_empty(), "other access to memory", &other, "none");
    let table = subject.facts.address != Address::Direct;
    // There is no load of three words: it takes four.
    let scalars = subject.scalars + u32::from(subject.scalars % 4 == 3);
    let words =
        LAUNCH[usize::from(table)] + subject.places + scalars + if table { CHUNK } else { 0 };
    let fetched = code.scalar_words;
    hold(fetched <= words, "words by scalar loads", &fetched, &format!("at most {words}"));

    hold(figures.spills == 0, "registers spilled", &figures.spills, "none");
    hold(figures.scratch == 0, "bytes of scratch", &figures.scratch, "none");
    // Only blocks share memory among the invocations of a workgroup, and wait for each other.
    let exactly = |number: u64| match number {
        0 => "none".to_owned(),
        _ => format!("exactly {number}"),
    };
    let (memory, barriers) = (blocks::memory(&subject.facts), blocks::barriers(&subject.facts));
    let is = figures.local_memory;
    hold(is == memory, "bytes of local memory", &is, &exactly(memory));
    hold(code.barriers == barriers, "barriers", &code.barriers, &exactly(barriers.into()));
    hold(figures.vgprs <= VGPRS, "VGPRs", &figures.vgprs, &format!("at most {VGPRS}"));

    // Gradients that are cleared are so whether the step is taken or not: once more around the store.
    let branches = BRANCHES.repeat(1 + usize::from(subject.facts.clear));
    if blocks {
        let most = blocks::branches(&subject.facts);
        let fits =
            code.branches.len() <= most && code.branches.iter().all(|one| one == BRANCHES[0]);
        hold(fits, "branches", &code.branches, &format!("at most {most} {}", BRANCHES[0]));
    } else {
        let allowed = format!("exactly {branches:?}");
        hold(code.branches == branches, "branches", &code.branches, &allowed);
    }
    // Rounding to f16 has a minimum of its own, at infinity, so there an index's would not be told from it.
    let stored = subject.facts.operands.iter().filter(|operand| operand.stores);
    let in_f16 = stored.clone().any(|operand| operand.format == Some(Format::F16));
    let (own_reciprocals, own_clamps) = own(subject);
    // At random, the code above the one found is at most the last one.
    let own_clamps =
        own_clamps + if subject.facts.dithers { blocks::count(&subject.facts) } else { 0 };
    let fits = in_f16 || code.clamps == own_clamps * subject.lanes;
    let allowed = match own_clamps {
        0 => "none".to_owned(),
        each => format!("exactly {}, the rule's own", each * subject.lanes),
    };
    hold(fits, "clamps of an index by lane", &code.clamps, &allowed);
    let clamps = u32::from(table); // of the chunk's index: a grid's last row may be too long
    let found_clamps = code.scalar_clamps;
    let allowed = format!("exactly {clamps}");
    hold(found_clamps == clamps, "scalar clamps of an index", &found_clamps, &allowed);

    // A division is a reciprocal and a product, a root is one instruction; each takes four times as
    // long as an addition.
    let at_most = format!("at most {}", subject.lanes);
    hold(code.square_roots <= subject.lanes, "square roots", &code.square_roots, &at_most);
    // A scale's reciprocal is one for all numbers of a lane.
    let most = own_reciprocals * subject.lanes + blocks::count(&subject.facts);
    let at_most = format!("at most {most}");
    hold(code.reciprocals <= most, "reciprocals", &code.reciprocals, &at_most);
    hold(code.slow.is_empty(), "slow arithmetic", &code.slow, "none");
    found
}

/// The reciprocals and the minima of integers that a rule has of its own, for each element: one division, unless the
/// rule computes a function that the hardware has not.
fn own(subject: &Subject) -> (u32, u32) {
    let momentum = subject.kernel.switches.iter().any(|(name, on)| *name == "MOMENTUM" && *on);
    match subject.facts.rule {
        // A cube root takes three divisions. Without momentum, the rule takes a root before the step, too.
        Some("madgrad") => (if momentum { 4 } else { 8 }, 0),
        // The angle is that of the smaller to the larger of two numbers, compared by their bits.
        Some("adam_atan2") => (1, 3),
        _ => (1, 0),
    }
}

/// The figures of a kernel that are past a margin.
fn past(margin: &Margin, subject: &Subject, is: &Figures, base: &Figures) -> Vec<String> {
    let mut found = Vec::new();
    let mut hold = |what, is: u64, base: u64, allowed: u64| {
        if is > allowed {
            found.push(format!("{what}: {is}, allowed {allowed}, as {} has {base}", margin.than));
        }
    };
    if subject.lanes > 1 && !subject.facts.slots.is_empty() {
        let (is, base) = (is.inverse_throughput, base.inverse_throughput);
        hold("inverse throughput", is, base, base * (100 + margin.percent) / 100);
    }
    hold("latency", is.latency, base.latency, base.latency + margin.cycles);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;
    use crate::subject::steps;

    /// A plain rule with one slot, as a well compiled kernel of it looks.
    const GOOD: &str = "BB0:
\ts_buffer_load_dword s1, s[8:11], 0x10
\ts_buffer_load_dwordx4 s[8:11], s[8:11], null
\ts_waitcnt lgkmcnt(0)
\tv_cmpx_gt_u32_e32 s11, v0
\ts_cbranch_execz BB6
BB1:
\tbuffer_load_dwordx4 v[4:7], v1, s[4:7], 0 offen
\tbuffer_load_dwordx4 v[8:11], v2, s[16:19], 0 offen
\tbuffer_load_dwordx4 v[12:15], v0, s[20:23], 0 offen
\ts_buffer_load_dwordx4 s[8:11], s[12:15], null
\ts_waitcnt vmcnt(0) lgkmcnt(0)
\tv_sqrt_f32_e32 v2, v2
\tv_rcp_f32_e32 v3, v3
\tbuffer_store_dwordx4 v[2:5], v0, s[20:23], 0 offen
\tbuffer_store_dwordx4 v[8:11], v1, s[4:7], 0 offen
BB6:
\ts_endpgm
";

    /// The kernel of a rule with one slot, and the traffic of `GOOD`.
    fn subject(address: Address) -> Subject {
        let is = |subject: &Subject| {
            let facts = &subject.facts;
            (facts.width, facts.address, facts.slots.len()) == (Width::Vec4, address, 1)
                && facts.operands.iter().all(|operand| operand.stores == operand.written)
                && facts.operands.len() == 3
                && !facts.clear
        };
        let all = steps().unwrap_or_default();
        let found = all.into_iter().find(is).unwrap_or_else(|| panic!("no kernel like that"));
        let (read, written) = (vec![16; 3], vec![16; 2]);
        Subject { scalars: 6, read, written, places: 0, ..found }
    }

    fn figures(assembly: &str) -> Figures {
        Figures {
            vgprs: 24,
            sgprs: 128,
            waves: 32,
            code_size: 400,
            latency: 800,
            inverse_throughput: 100,
            spills: 0,
            scratch: 0,
            local_memory: 0,
            copies: 4,
            code: Code::read(assembly),
        }
    }

    /// The violations of `GOOD` after an edit.
    fn after(old: &str, new: &str) -> Vec<String> {
        assert!(GOOD.contains(old), "{old:?} is not in the example");
        violations(&subject(Address::Direct), &figures(&GOOD.replacen(old, new, 1)))
    }

    #[test]
    fn good_code_passes() {
        assert!(after("BB0:", "BB0:").is_empty());
    }

    #[test]
    fn each_kind_of_bad_code_is_named() {
        let load = "\tbuffer_load_dwordx4 v[12:15], v0, s[20:23], 0 offen\n";
        let store = "\tbuffer_store_dwordx4 v[8:11], v1, s[4:7], 0 offen\n";
        let narrow = load.replace("dwordx4", "dword");
        let late = format!("{store}{load}");
        let without_load = GOOD.replacen(load, "", 1).replacen(store, &late, 1);
        let of_text = |text: &str| violations(&subject(Address::Direct), &figures(text));
        assert_eq!(of_text(&without_load), ["loads behind a store: 1, allowed none"]);
        let cases = [
            (load, &*narrow, "loads by bytes: {4: 1, 16: 2}, allowed exactly {16: 3}"),
            (store, "", "stores by bytes: {16: 1}, allowed exactly {16: 2}"),
            (
                "BB1:",
                "\ts_cbranch_vccz BB6\n",
                "branches: [\"s_cbranch_execz\", \"s_cbranch_vccz\"]",
            ),
            ("\ts_cbranch_execz BB6\n", "", "branches: [], allowed exactly"),
            ("BB1:", "\tv_min_u32_e32 v1, s4, v1\n", "clamps of an index by lane: 1"),
            ("BB1:", "\ts_min_u32 s0, s7, s0\n", "scalar clamps of an index: 1"),
            ("BB1:", "\tv_log_f32_e32 v1, v1\n", "slow arithmetic: [\"v_log_f32_e32\"]"),
            ("BB1:", "\tv_div_scale_f32 v1, v1\n", "slow arithmetic: [\"v_div_scale_f32\"]"),
            ("BB1:", &"\tv_rcp_f32_e32 v1, v1\n".repeat(4), "reciprocals: 5, allowed at most 4"),
            ("BB1:", &"\tv_rsq_f32_e32 v1, v1\n".repeat(4), "square roots: 5, allowed at most 4"),
            (
                "BB1:",
                "\ts_buffer_load_dwordx4 s[8:11], s[8:11], null\n",
                "words by scalar loads: 13",
            ),
            ("BB1:", "\tds_read_b32 v1, v2\n", "other access to memory: [\"ds_read_b32\"]"),
        ];
        for (old, new, expected) in cases {
            let found = after(old, new);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{found:?}: {expected}");
        }
    }

    #[test]
    fn registers_and_scratch_are_held() {
        let mut figures = figures(GOOD);
        (figures.spills, figures.scratch, figures.local_memory, figures.vgprs) = (1, 16, 4, 65);
        let found = violations(&subject(Address::Direct), &figures);
        let expected = [
            "registers spilled: 1, allowed none",
            "bytes of scratch: 16, allowed none",
            "bytes of local memory: 4, allowed none",
            "VGPRs: 65, allowed at most 64",
        ];
        assert_eq!(found, expected);
    }

    /// A table has to clamp the chunk's index, once for all lanes.
    #[test]
    fn a_table_clamps_once() {
        let found = violations(&subject(Address::Table), &figures(GOOD));
        assert_eq!(found, ["scalar clamps of an index: 0, allowed exactly 1"]);
    }

    #[test]
    fn other_widths_and_addressing_are_nearly_as_fast() {
        let (base, mut is) = (figures(GOOD), figures(GOOD));
        let mut subject = subject(Address::Table);
        let found = |subject: &Subject, is: &Figures| {
            let margins = margins(&subject.facts);
            margins.iter().flat_map(|margin| past(margin, subject, is, &base)).collect::<Vec<_>>()
        };
        (is.inverse_throughput, is.latency) = (106, 1040);
        assert!(found(&subject, &is).is_empty());
        (is.inverse_throughput, is.latency) = (107, 1041);
        let latency = "latency: 1041, allowed 1040, as direct has 800";
        let throughput = "inverse throughput: 107, allowed 106, as direct has 100";
        assert_eq!(found(&subject, &is), [throughput, latency]);
        subject.facts.slots.clear();
        assert_eq!(found(&subject, &is), [latency]);
        (subject.facts.width, subject.facts.address) = (Width::Loose, Address::Moving);
        let margins =
            ["1041, allowed 930, as a table has 800", "1041, allowed 925, as vec4 has 800"];
        assert_eq!(found(&subject, &is), margins.map(|margin| format!("latency: {margin}")));
        subject.facts.address = Address::Direct;
        (is.inverse_throughput, is.latency) = (100, 925);
        assert!(found(&subject, &is).is_empty());
    }

    /// Every kernel in f32 that has a margin finds the kernel that the margin is from.
    #[test]
    fn margins_find_their_kernels() -> Result<(), String> {
        let steps = steps()?;
        let facts: Vec<Facts> =
            steps.iter().map(|s| like(&s.facts, s.facts.width, s.facts.address)).collect();
        for subject in steps.iter().filter(|s| s.facts.operands.iter().all(|one| one.bits == 32)) {
            for margin in margins(&subject.facts) {
                let wanted = like(&subject.facts, margin.width, margin.address);
                assert!(facts.contains(&wanted), "{}: {}", subject.name(), margin.than);
            }
        }
        Ok(())
    }
}
