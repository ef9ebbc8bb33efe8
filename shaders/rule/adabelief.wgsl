// AdaBelief (Zhuang et al. 2020), with Nesterov's momentum as Optax has it.
//
//     m ← β₁ m + (1 − β₁) g
//     s ← β₂ s + (1 − β₂) (g − m)² + ε_root
//     direction = m̂ / (√ŝ + ε)        m̂ = m / (1 − β₁ᵗ), ŝ = s / (1 − β₂ᵗ)
//     m̂ = β₁ m / (1 − β₁ᵗ⁺¹) + (1 − β₁) g / (1 − β₁ᵗ)        with Nesterov

override NESTEROV: bool = false;

const EXP_AVG = 0u;
const EXP_AVG_VAR = 1u;

const HYPER_LENGTH = 11u;
struct Hyper {
    beta1: f32,
    beta1_low: f32, // the part of β₁ that one f32 misses
    gain1: f32,     // 1 − β₁
    beta2: f32,
    beta2_low: f32,
    gain2: f32,
    m_scale: f32,   // 1 / (1 − β₁ᵗ), with Nesterov β₁ / (1 − β₁ᵗ⁺¹)
    s_scale: f32,   // 1 / (1 − β₂ᵗ)
    eps_root: f32,
    eps: f32,
    g_scale: f32,   // (1 − β₁) / (1 − β₁ᵗ), only with Nesterov
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    let m = decayed(state[EXP_AVG], hyper.beta1, hyper.beta1_low, hyper.gain1 * g);
    state[EXP_AVG] = m;
    let surprise = g - m;
    let square = hyper.gain2 * surprise * surprise + hyper.eps_root;
    let s = decayed(state[EXP_AVG_VAR], hyper.beta2, hyper.beta2_low, square);
    state[EXP_AVG_VAR] = s;
    var m_hat = hyper.m_scale * m;
    if NESTEROV {
        m_hat += hyper.g_scale * g;
    }
    return m_hat / (sqrt(hyper.s_scale * s) + hyper.eps);
}
