//! What a kernel may cost: the traffic of the model, and next to nothing else.

use wgpu_optim::Format;

use crate::code::Accesses;
use crate::family::Family;
use crate::subject::{Addressing, Figures, Results, Subject};

/// Vector registers: with these, 8 subgroups of 64 fit a SIMD of RDNA, 4 one of GCN.
pub(crate) const VGPRS: u64 = 64;

/// The only branch: around everything, for the invocations past the end.
const BRANCHES: [&str; 1] = ["s_cbranch_execz"];

/// Words of `Launch` fetched: five for direct; for a table three, by a load of four.
const LAUNCH: [u32; 2] = [5, 4];

/// Words of a chunk, which only a table has.
const CHUNK: u32 = 4;

/// How much more a table's inverse throughput may be than that of direct addressing, in percent. It
/// holds where there is arithmetic to count, in vec4 kernels with state. Elsewhere the figure is
/// latency divided among the waves of a SIMD, and latency has a limit of its own. 5 are aimed at;
/// only SGD with momentum on vega10 has more, 5.1.
const TABLE_PERCENT: u64 = 6;

/// How much later a table's wave may end, in cycles: by one scalar load more, the chunk's, at an address
/// that another load brought. ACO takes such a load for 200 cycles.
const TABLE_CYCLES: u64 = 240;

/// Everything that is over budget, in words.
pub(crate) fn check(subjects: &[Subject], results: &[Results]) -> Vec<String> {
    let mut all = Vec::new();
    for results in results {
        for subject in subjects {
            let Some(built) = results.kernels.get(subject.name()) else {
                all.push(over(subject.name(), results.family, "not compiled"));
                continue;
            };
            let mut found = violations(subject, &built.figures);
            let direct = subject.name().replace("-table-", "-direct-");
            // Of other formats the model says no more than of f32, which their arithmetic hides.
            let copied = subject.name().contains("_copy-");
            let of_f32 = subject.kernel.formats == [Format::F32; 3] && !copied;
            if let Some(direct) = results.kernels.get(&direct).filter(|_| of_f32) {
                found.extend(slower_than_direct(subject, &built.figures, &direct.figures));
            }
            all.extend(found.iter().map(|what| over(subject.name(), results.family, what)));
        }
    }
    all
}

pub(crate) fn over(kernel: &str, family: Family, what: &str) -> String {
    format!("{kernel} on {}: {what}", family.name())
}

/// What of one kernel is over budget.
fn violations(subject: &Subject, figures: &Figures) -> Vec<String> {
    let code = &figures.code;
    let mut found = Vec::new();
    let mut hold = |fits: bool, what: &str, is: &dyn std::fmt::Debug, allowed: &str| {
        if !fits {
            found.push(format!("{what}: {is:?}, allowed {allowed}"));
        }
    };

    // Vector accesses: parameter, gradient and state in, parameter and state out. Chunks and scalars
    // are the same for all lanes, so they must not be among them.
    let accesses = |bytes: &[u32]| {
        let mut accesses = Accesses::new();
        for bytes in bytes {
            *accesses.entry(bytes * subject.lanes).or_default() += 1;
        }
        accesses
    };
    let (loads, stores) = (accesses(&subject.read), accesses(&subject.written));
    hold(code.loads == loads, "loads by bytes", &code.loads, &format!("exactly {loads:?}"));
    hold(code.stores == stores, "stores by bytes", &code.stores, &format!("exactly {stores:?}"));
    hold(code.late_loads == 0, "loads behind a store", &code.late_loads, "none");
    hold(code.other_memory.is_empty(), "other access to memory", &code.other_memory, "none");
    let table = subject.addressing == Addressing::Table;
    // There is no load of three words: it takes four.
    let scalars = subject.scalars + u32::from(subject.scalars % 4 == 3);
    let words =
        LAUNCH[usize::from(table)] + subject.places + scalars + if table { CHUNK } else { 0 };
    let fetched = code.scalar_words;
    hold(fetched <= words, "words by scalar loads", &fetched, &format!("at most {words}"));

    hold(figures.spills == 0, "registers spilled", &figures.spills, "none");
    hold(figures.scratch == 0, "bytes of scratch", &figures.scratch, "none");
    hold(figures.local_memory == 0, "bytes of local memory", &figures.local_memory, "none");
    hold(figures.vgprs <= VGPRS, "VGPRs", &figures.vgprs, &format!("at most {VGPRS}"));

    // Gradients that are cleared are so whether the step is taken or not: once more around the store.
    let branches = BRANCHES.repeat(1 + usize::from(subject.name().contains("-cleared-")));
    hold(code.branches == branches, "branches", &code.branches, &format!("exactly {branches:?}"));
    // Rounding to f16 has a minimum of its own, at infinity, so there an index's would not be told from it.
    let [param, _, state] = subject.kernel.formats;
    let copied = subject.name().contains("-f16_copy-");
    let in_f16 = copied || param == Format::F16 || state == Format::F16 && subject.slots > 0;
    let fits = in_f16 || code.clamps == 0;
    hold(fits, "clamps of an index by lane", &code.clamps, "none");
    let clamps = u32::from(table); // of the chunk's index: a grid's last row may be too long
    let found_clamps = code.scalar_clamps;
    let allowed = format!("exactly {clamps}");
    hold(found_clamps == clamps, "scalar clamps of an index", &found_clamps, &allowed);

    // A division is a reciprocal and a product, a root is one instruction; each takes four times as
    // long as an addition.
    let at_most = format!("at most {}", subject.lanes);
    hold(code.square_roots <= subject.lanes, "square roots", &code.square_roots, &at_most);
    hold(code.reciprocals <= subject.lanes, "reciprocals", &code.reciprocals, &at_most);
    hold(code.slow.is_empty(), "slow arithmetic", &code.slow, "none");
    found
}

/// What a table costs more than it may.
fn slower_than_direct(subject: &Subject, table: &Figures, direct: &Figures) -> Vec<String> {
    let mut found = Vec::new();
    let mut hold = |what, is: u64, base: u64, allowed: u64| {
        if is > allowed {
            found.push(format!("{what}: {is}, allowed {allowed}, as direct has {base}"));
        }
    };
    if subject.lanes > 1 && subject.slots > 0 {
        let (is, base) = (table.inverse_throughput, direct.inverse_throughput);
        hold("inverse throughput", is, base, base * (100 + TABLE_PERCENT) / 100);
    }
    hold("latency", table.latency, direct.latency, direct.latency + TABLE_CYCLES);
    found
}

#[cfg(test)]
mod tests {
    use wgpu_optim::kernel::Kernel;

    use super::*;
    use crate::code::Code;

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

    fn subject(addressing: Addressing) -> Subject {
        let kernel = Kernel {
            formats: [Format::F32; 3],
            name: "a-kernel".to_owned(),
            wgsl: String::new(),
            entry_point: "update",
            switches: Vec::new(),
        };
        let (read, written) = (vec![4; 3], vec![4; 2]);
        Subject { kernel, lanes: 4, addressing, slots: 1, scalars: 6, read, written, places: 0 }
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

    /// What is wrong with `GOOD` after an edit.
    fn after(old: &str, new: &str) -> Vec<String> {
        assert!(GOOD.contains(old), "{old:?} is not in the example");
        violations(&subject(Addressing::Direct), &figures(&GOOD.replacen(old, new, 1)))
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
        let of_text = |text: &str| violations(&subject(Addressing::Direct), &figures(text));
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
        let found = violations(&subject(Addressing::Direct), &figures);
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
        let found = violations(&subject(Addressing::Table), &figures(GOOD));
        assert_eq!(found, ["scalar clamps of an index: 0, allowed exactly 1"]);
    }

    #[test]
    fn a_table_is_nearly_as_fast() {
        let (direct, mut table) = (figures(GOOD), figures(GOOD));
        let mut subject = subject(Addressing::Table);
        (table.inverse_throughput, table.latency) = (106, 1040);
        assert!(slower_than_direct(&subject, &table, &direct).is_empty());
        (table.inverse_throughput, table.latency) = (107, 1041);
        let latency = "latency: 1041, allowed 1040, as direct has 800";
        let throughput = "inverse throughput: 107, allowed 106, as direct has 100";
        assert_eq!(slower_than_direct(&subject, &table, &direct), [throughput, latency]);
        subject.slots = 0;
        assert_eq!(slower_than_direct(&subject, &table, &direct), [latency]);
    }
}
