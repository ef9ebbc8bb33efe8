//! The budgets of kernels that take no step: `norm`, `prepare` and `accumulate`.

use wgpu_optim::kernel::{Address, Body, Kernel, OperandFact};

use crate::budget::{VGPRS, counted, over};
use crate::subject::{Figures, Results, accesses, is_by_atomics};

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

/// The figures of one kernel that are over budget.
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
    let Some(facts) = &kernel.facts else { return found };
    let Some(grad) = facts.operands.iter().find(|operand| operand.name == "grad") else {
        return found;
    };
    if facts.body == Body::Norm && grad.bits == 32 && facts.address == Address::Direct {
        let wide = code.in_flight >= IN_FLIGHT;
        hold(wide, "loads in flight", &code.in_flight, format!("at least {IN_FLIGHT}"));
    }
    // Half a word is cleared by atomics.
    if facts.body == Body::Accumulate && !is_by_atomics(facts, grad) {
        // There are two ways: a sum goes on, or it begins and is not read. Both load the gradient and store the
        // sum, and the second is behind the stores of the first in the text.
        let of = |does: fn(&OperandFact) -> bool, again: &str| {
            let operands = facts.operands.iter().filter(|operand| does(operand));
            let times = |operand: &OperandFact| 1 + usize::from(operand.name == again);
            let all = operands.flat_map(|one| accesses(facts, one).repeat(times(one)));
            counted(&all.collect::<Vec<_>>())
        };
        let loads = of(|operand| operand.loads, "grad");
        let stores = of(|operand| operand.stores, "sum");
        hold(code.loads == loads, "loads by bytes", &code.loads, format!("exactly {loads:?}"));
        hold(code.stores == stores, "stores by bytes", &code.stores, format!("exactly {stores:?}"));
        let late = accesses(facts, grad).len() as u32;
        let is = code.late_loads;
        hold(is <= late, "loads behind a store", &is, format!("at most {late}, of the other way"));
    }
    found
}

#[cfg(test)]
mod tests {
    use wgpu_optim::kernel::{Width, control_kernels};

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

    /// The violations of a kernel of this body, in f32 and quads, on one run.
    fn found(body: Body, clear: bool, figures: &Figures) -> Vec<String> {
        let is = |kernel: &Kernel| {
            kernel.facts.as_ref().is_some_and(|facts| {
                (facts.body, facts.width, facts.address) == (body, Width::Vec4, Address::Direct)
                    && facts.operands.iter().all(|operand| operand.bits == 32)
                    && (facts.clear, facts.clip_value, facts.summed) == (clear, false, false)
            })
        };
        let all = control_kernels();
        let kernel = all.iter().find(|kernel| is(kernel));
        violations(kernel.unwrap_or_else(|| panic!("no kernel like that")), figures)
    }

    const ADDED: &str = "\tbuffer_load_dwordx4 v[4:7], v1, s[4:7], 0 offen
\tbuffer_load_dwordx4 v[8:11], v2, s[16:19], 0 offen
\ts_waitcnt vmcnt(0)
\tbuffer_store_dwordx4 v[2:5], v0, s[20:23], 0 offen
";

    #[test]
    fn a_store_too_few_and_memory_in_a_workgroup_are_found() {
        let (with_sum, begun) = (ADDED, ADDED.split_once('\n').map_or("", |(_, rest)| rest));
        let both = format!("{with_sum}{begun}");
        let good = figures(&both, 0);
        assert_eq!(found(Body::Accumulate, false, &good), [""; 0]);
        let cleared = found(Body::Accumulate, true, &good);
        assert_eq!(cleared, ["stores by bytes: {16: 2}, allowed exactly {16: 3}"]);
        let shared = found(Body::Accumulate, false, &figures(&both, 16));
        assert_eq!(shared, ["bytes of local memory: 16, allowed at most 0"]);
    }

    #[test]
    fn a_norm_that_waits_for_each_load_is_found() {
        let in_turn = found(Body::Norm, false, &figures(ADDED, SHARED));
        assert_eq!(in_turn, ["loads in flight: 2, allowed at least 4"]);
        let four = figures(&ADDED.repeat(2).replacen("\ts_waitcnt vmcnt(0)\n", "", 1), SHARED);
        assert_eq!(found(Body::Norm, false, &four), [""; 0]);
    }
}
