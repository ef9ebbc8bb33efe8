// ADAM (Kingma & Ba 2015, algorithm 1), with AMSGrad (Reddi et al. 2018) and Nesterov's momentum (Dozat 2016).
//
//     m ← β₁ m + (1 − β₁) g
//     v ← β₂ v + (1 − β₂) g²
//     x ← max(x, v)                    AMSGrad only, then x in place of v
//     x ← max(x, v̂)                    AMSGrad of corrected v̂, then x in place of v̂
//     direction = m̂ / (√(v̂ + ε_root) + ε)        m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)
//     m̂ = β₁ m / (1 − β₁ᵗ⁺¹) + (1 − β₁) g / (1 − β₁ᵗ)        with Nesterov

override AMSGRAD: bool = false;
override AMSGRAD_CORRECTED: bool = false;
override NESTEROV: bool = false;

const EXP_AVG = 0u;
const EXP_AVG_SQ = 1u;
const MAX_EXP_AVG_SQ = 2u;

const HYPER_LENGTH = 11u;
struct Hyper {
    beta1: f32,
    beta1_low: f32, // the part of β₁ that one f32 misses
    gain1: f32,     // 1 − β₁
    beta2: f32,
    beta2_low: f32,
    gain2: f32,
    m_scale: f32,   // 1 / (1 − β₁ᵗ), with Nesterov β₁ / (1 − β₁ᵗ⁺¹)
    v_scale: f32,   // 1 / (1 − β₂ᵗ)
    eps_root: f32,
    eps: f32,
    g_scale: f32,   // (1 − β₁) / (1 − β₁ᵗ), only with Nesterov
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    let m = decayed(state[EXP_AVG], hyper.beta1, hyper.beta1_low, hyper.gain1 * g);
    state[EXP_AVG] = m;
    var v = decayed(state[EXP_AVG_SQ], hyper.beta2, hyper.beta2_low, hyper.gain2 * g * g);
    state[EXP_AVG_SQ] = v;
    if AMSGRAD {
        v = larger(state[MAX_EXP_AVG_SQ], v);
        state[MAX_EXP_AVG_SQ] = v;
    }
    var v_hat = hyper.v_scale * v;
    if AMSGRAD_CORRECTED {
        v_hat = larger(state[MAX_EXP_AVG_SQ], v_hat);
        state[MAX_EXP_AVG_SQ] = v_hat;
    }
    var m_hat = hyper.m_scale * m;
    if NESTEROV {
        m_hat += hyper.g_scale * g;
    }
    return m_hat / (sqrt(v_hat + hyper.eps_root) + hyper.eps);
}
