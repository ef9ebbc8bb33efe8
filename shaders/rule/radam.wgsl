// RAdam (Liu et al. 2020): ADAM without its second moment until enough steps have made it certain.
//
//     m ← β₁ m + (1 − β₁) g
//     v ← β₂ v + (1 − β₂) g²
//     direction = m̂ r √(1 − β₂ᵗ) / (√v + eps) if ρₜ > 5, and else m̂      m̂ = m / (1 − β₁ᵗ)
//     ρₜ = ρ∞ − 2 t β₂ᵗ / (1 − β₂ᵗ)                  ρ∞ = 2 / (1 − β₂) − 1
//     r = √((ρₜ − 4) (ρₜ − 2) ρ∞ / ((ρ∞ − 4) (ρ∞ − 2) ρₜ))

const EXP_AVG = 0u;
const EXP_AVG_SQ = 1u;

const HYPER_LENGTH = 9u;
struct Hyper {
    beta1: f32,
    beta1_low: f32, // the part of β₁ that one f32 misses
    gain1: f32, // 1 − β₁
    beta2: f32,
    beta2_low: f32, // the part of β₂ that one f32 misses
    gain2: f32, // 1 − β₂
    m_scale: f32, // 1 / (1 − β₁ᵗ), times r √(1 − β₂ᵗ) if ρₜ > 5
    rectified: f32, // 1 if ρₜ > 5, otherwise 0
    eps: f32, // ε, times √(1 − β₂ᵗ) where it stands on the corrected root
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    let m = decayed(state[EXP_AVG], hyper.beta1, hyper.beta1_low, hyper.gain1 * g);
    state[EXP_AVG] = m;
    let v = decayed(state[EXP_AVG_SQ], hyper.beta2, hyper.beta2_low, hyper.gain2 * g * g);
    state[EXP_AVG_SQ] = v;
    let corrected = hyper.m_scale * m;
    return select(corrected, corrected / (sqrt(v) + hyper.eps), hyper.rectified > 0.0);
}
