// ADOPT (Taniguchi et al. 2024, algorithm 2).
//
//     n = g / max(√v, eps), limited to ±(t − 1)^¼        with the v of the steps before
//     m ← β₁ m + (1 − β₁) n
//     v ← β₂ v + (1 − β₂) g², and g² at the first step
//     direction = m, or β₁ m + (1 − β₁) n with Nesterov

override NESTEROV: bool = false;

const EXP_AVG = 0u;
const EXP_AVG_SQ = 1u;

const HYPER_LENGTH = 8u;
struct Hyper {
    beta1: f32,
    beta1_low: f32, // the part of β₁ that one f32 misses
    gain1: f32,     // 1 − β₁
    beta2: f32,     // 0 at the first step
    beta2_low: f32,
    gain2: f32,     // 1 − β₂, and 1 at the first step
    eps: f32,
    limit: f32,     // (t − 1)^¼, so that the first step moves nothing
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    let v = state[EXP_AVG_SQ];
    let n = limited(g / larger(sqrt(v), real(hyper.eps)), real(-hyper.limit), real(hyper.limit));
    let m = decayed(state[EXP_AVG], hyper.beta1, hyper.beta1_low, hyper.gain1 * n);
    state[EXP_AVG] = m;
    state[EXP_AVG_SQ] = decayed(v, hyper.beta2, hyper.beta2_low, hyper.gain2 * g * g);
    if NESTEROV {
        return decayed(m, hyper.beta1, hyper.beta1_low, hyper.gain1 * n);
    }
    return m;
}
