//! What kernels may cost that take no step: `norm`, `prepare` and `accumulate`.

use wgpu_optim::Format;
use wgpu_optim::kernel::Kernel;

use crate::budget::{VGPRS, over};
use crate::subject::{Figures, Results};

/// Bytes of workgroup memory that `norm` shares partial sums in, 16 to an invocation.
const SHARED: u64 = 256 * 16;

/// The same of `prepare`: three sums, of which a compiler may make four words, a magnitude and a place.
const DECIDING: u64 = 256 * (16 + 4 + 4) + 64;

/// Loads of `norm` that are on their way before it waits for one.
const IN_FLIGHT: u32 = 4;

/// Everything that is over budget, in words.
pub(crate) fn check(kernels: &[Kernel], results: &[Results]) -> Vec<String> {
    let mut all = Vec::new();
    for results in results {
        for kernel in kernels {
            let found = match results.kernels.get(&kernel.name) {
                Some(built) => violations(kernel, &built.figures),
                None => vec!["not compiled".to_owned()],
            };
            all.extend(found.iter().map(|what| over(&kernel.name, results.family, what)));
        }
    }
    all
}

/// What of one kernel is over budget.
fn violations(kernel: &Kernel, figures: &Figures) -> Vec<String> {
    let code = &figures.code;
    let mut found = Vec::new();
    let mut hold = |fits: bool, what: &str, is: &dyn std::fmt::Debug, allowed: String| {
        if !fits {
            found.push(format!("{what}: {is:?}, allowed {allowed}"));
        }
    };
    hold(figures.spills == 0, "registers spilled", &figures.spills, "none".to_owned());
    hold(figures.scratch == 0, "bytes of scratch", &figures.scratch, "none".to_owned());
    hold(figures.vgprs <= VGPRS, "VGPRs", &figures.vgprs, format!("at most {VGPRS}"));
    let shared = match kernel.entry_point {
        "norm" => SHARED,
        "prepare" => DECIDING,
        _ => 0,
    };
    let is = figures.local_memory;
    hold(is <= shared, "bytes of local memory", &is, format!("at most {shared}"));
    let is = |word: &str| kernel.name.split('-').any(|part| part == word);
    let [_, grad, _] = kernel.formats;
    if kernel.entry_point == "norm" && grad == Format::F32 && is("direct") {
        let wide = code.in_flight >= IN_FLIGHT;
        hold(wide, "loads in flight", &code.in_flight, format!("at least {IN_FLIGHT}"));
    }
    // Of 16 bits, scalar kernels clear half a word by atomics.
    if kernel.entry_point == "accumulate" && (grad == Format::F32 || is("vec4")) {
        let lanes = if is("vec4") { 4 } else { 1 };
        let (sum, grad) = (4, grad.bytes() as u32);
        let accesses = |bytes: Vec<u32>| {
            let mut accesses = crate::code::Accesses::new();
            for bytes in bytes {
                *accesses.entry(bytes * lanes).or_default() += 1;
            }
            accesses
        };
        let loads = accesses(if is("first") { vec![grad] } else { vec![grad, sum] });
        let stores = accesses(if is("cleared") { vec![sum, grad] } else { vec![sum] });
        hold(code.loads == loads, "loads by bytes", &code.loads, format!("exactly {loads:?}"));
        hold(code.stores == stores, "stores by bytes", &code.stores, format!("exactly {stores:?}"));
        hold(code.late_loads == 0, "loads behind a store", &code.late_loads, "none".to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;

    fn figures(assembly: &str, local_memory: u64) -> Figures {
        let (vgprs, sgprs, waves, code_size) = (20, 20, 32, 0);
        let code = Code::read(assembly);
        Figures {
            vgprs,
            sgprs,
            waves,
            code_size,
            latency: 0,
            inverse_throughput: 0,
            spills: 0,
            scratch: 0,
            local_memory,
            copies: 0,
            code,
        }
    }

    fn found(name: &str, entry_point: &'static str, figures: &Figures) -> Vec<String> {
        let (name, wgsl) = (name.to_owned(), String::new());
        let formats = [Format::F32; 3];
        violations(&Kernel { name, wgsl, entry_point, switches: Vec::new(), formats }, figures)
    }

    const ADDED: &str = "\tbuffer_load_dwordx4 v[4:7], v1, s[4:7], 0 offen
\tbuffer_load_dwordx4 v[8:11], v2, s[16:19], 0 offen
\ts_waitcnt vmcnt(0)
\tbuffer_store_dwordx4 v[2:5], v0, s[20:23], 0 offen
";

    #[test]
    fn a_load_too_many_and_memory_in_a_workgroup_are_found() {
        let good = figures(ADDED, 0);
        let name = "accumulate-vec4-direct-own-f32";
        assert_eq!(found(name, "accumulate", &good), [""; 0]);
        let first = found(&format!("{name}-first"), "accumulate", &good);
        assert_eq!(first, ["loads by bytes: {16: 2}, allowed exactly {16: 1}"]);
        let shared = found(name, "accumulate", &figures(ADDED, 16));
        assert_eq!(shared, ["bytes of local memory: 16, allowed at most 0"]);
    }

    #[test]
    fn a_norm_that_waits_for_each_load_is_found() {
        let name = "norm-vec4-direct-f32";
        let in_turn = figures(ADDED, SHARED);
        assert_eq!(found(name, "norm", &in_turn), ["loads in flight: 2, allowed at least 4"]);
        let four = figures(&ADDED.repeat(2).replacen("\ts_waitcnt vmcnt(0)\n", "", 1), SHARED);
        assert_eq!(found(name, "norm", &four), [""; 0]);
    }
}
