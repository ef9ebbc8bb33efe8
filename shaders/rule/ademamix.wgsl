// AdEMAMix (Pagliardini, Ablin & Grangier 2024).
//
//     m ← β₁ m + (1 − β₁) g
//     n ← β₃,ₜ n + (1 − β₃,ₜ) g
//     v ← β₂ v + (1 − β₂) g²
//     direction = (m̂ + αₜ n) / (√(v̂ + eps_root) + eps)        m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)

const EXP_AVG = 0u;
const EXP_AVG_SLOW = 1u;
const EXP_AVG_SQ = 2u;

const HYPER_LENGTH = 14u;
struct Hyper {
    beta1: f32,
    beta1_low: f32, // the part of β₁ that one f32 misses
    gain1: f32,     // 1 − β₁
    beta2: f32,
    beta2_low: f32,
    gain2: f32,
    beta3: f32,     // β₃,ₜ, after its warm-up
    beta3_low: f32,
    gain3: f32,
    m_scale: f32,   // 1 / (1 − β₁ᵗ)
    alpha: f32,     // αₜ, after its warm-up
    v_scale: f32,   // 1 / (1 − β₂ᵗ)
    eps_root: f32,
    eps: f32,
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    let m = decayed(state[EXP_AVG], hyper.beta1, hyper.beta1_low, hyper.gain1 * g);
    state[EXP_AVG] = m;
    let n = decayed(state[EXP_AVG_SLOW], hyper.beta3, hyper.beta3_low, hyper.gain3 * g);
    state[EXP_AVG_SLOW] = n;
    let v = decayed(state[EXP_AVG_SQ], hyper.beta2, hyper.beta2_low, hyper.gain2 * g * g);
    state[EXP_AVG_SQ] = v;
    let mixed = hyper.m_scale * m + hyper.alpha * n;
    return mixed / (sqrt(hyper.v_scale * v + hyper.eps_root) + hyper.eps);
}
