// Adan (Xie et al. 2022).
//
//     d = g − (g of the step before)      0 at the first step
//     m ← β₁ m + (1 − β₁) g
//     v ← β₂ v + (1 − β₂) d
//     n ← β₃ n + (1 − β₃) (g + w d)²
//     direction = (m̂ + w v̂) / (√(n̂ + ε_root) + ε)        w = 1 − β₂, or β₂ with paper
//     m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ), n̂ = n / (1 − β₃ᵗ)

const EXP_AVG = 0u;
const EXP_AVG_DIFF = 1u;
const EXP_AVG_SQ = 2u;
const PREV_GRAD = 3u;

const HYPER_LENGTH = 16u;
struct Hyper {
    beta1: f32,
    beta1_low: f32, // the part of β₁ that one f32 misses
    gain1: f32,     // 1 − β₁
    beta2: f32,
    beta2_low: f32,
    gain2: f32,
    beta3: f32,
    beta3_low: f32,
    gain3: f32,
    weight: f32,    // w
    first: f32,     // 1 at the first step, then 0
    m_scale: f32,   // 1 / (1 − β₁ᵗ)
    v_scale: f32,   // w / (1 − β₂ᵗ)
    n_scale: f32,   // 1 / (1 − β₃ᵗ)
    eps_root: f32,
    eps: f32,
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    // A choice and not a factor of 0, because 0 · NaN is NaN.
    let d = select(g - state[PREV_GRAD], real(), hyper.first > 0.0);
    state[PREV_GRAD] = g;
    let m = decayed(state[EXP_AVG], hyper.beta1, hyper.beta1_low, hyper.gain1 * g);
    state[EXP_AVG] = m;
    let v = decayed(state[EXP_AVG_DIFF], hyper.beta2, hyper.beta2_low, hyper.gain2 * d);
    state[EXP_AVG_DIFF] = v;
    let ahead = g + hyper.weight * d;
    let n = decayed(state[EXP_AVG_SQ], hyper.beta3, hyper.beta3_low, hyper.gain3 * ahead * ahead);
    state[EXP_AVG_SQ] = n;
    let moved = hyper.m_scale * m + hyper.v_scale * v;
    return moved / (sqrt(hyper.n_scale * n + hyper.eps_root) + hyper.eps);
}
