// LaProp (Ziyin, Wang & Ueda 2020).
//
//     v ← β₂ v + (1 − β₂) g²
//     a ← β₂ a + (1 − β₂) g                                           centered only
//     m ← β₁ m + (1 − β₁) lr √(1 − β₂ᵗ) g / (√(v + 1e-15) + eps)      centered, from step 11: v − a² in place of v
//     e ← β₁ e + (1 − β₁) lr
//     p ← p − m lr / e

override CENTERED: bool = false;

const EXP_AVG = 0u;
const EXP_AVG_SQ = 1u;
const GRAD_AVG = 2u;

const HYPER_LENGTH = 10u;
struct Hyper {
    beta1: f32,
    beta1_low: f32, // the part of β₁ that one f32 misses
    gain1: f32,     // (1 − β₁) lr √(1 − β₂ᵗ)
    beta2: f32,
    beta2_low: f32,
    gain2: f32,     // 1 − β₂
    m_scale: f32,   // lr / e
    center: f32,    // 0 up to step 10, then 1
    eps_root: f32,  // 1e-15
    eps: f32,
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    var v = decayed(state[EXP_AVG_SQ], hyper.beta2, hyper.beta2_low, hyper.gain2 * g * g);
    state[EXP_AVG_SQ] = v;
    if CENTERED {
        let a = decayed(state[GRAD_AVG], hyper.beta2, hyper.beta2_low, hyper.gain2 * g);
        state[GRAD_AVG] = a;
        // The difference is negative only by rounding. Unlike max(…, 0), abs keeps a NaN.
        v = abs(v - hyper.center * a * a);
    }
    let u = hyper.gain1 * g / (sqrt(v + hyper.eps_root) + hyper.eps);
    let m = decayed(state[EXP_AVG], hyper.beta1, hyper.beta1_low, u);
    state[EXP_AVG] = m;
    return hyper.m_scale * m;
}
