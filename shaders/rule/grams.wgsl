// Grams (Cao, Li & Song 2024).
//
//     m ← β₁ m + (1 − β₁) g
//     v ← β₂ v + (1 − β₂) g²
//     direction = |m̂| / (√v̂ + eps) · sign(g)        m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)

const EXP_AVG = 0u;
const EXP_AVG_SQ = 1u;

const HYPER_LENGTH = 9u;
struct Hyper {
    beta1: f32,
    beta1_low: f32, // the part of β₁ that one f32 misses
    gain1: f32,     // 1 − β₁
    beta2: f32,
    beta2_low: f32,
    gain2: f32,
    m_scale: f32,   // 1 / (1 − β₁ᵗ)
    v_scale: f32,   // 1 / (1 − β₂ᵗ)
    eps: f32,
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    let m = decayed(state[EXP_AVG], hyper.beta1, hyper.beta1_low, hyper.gain1 * g);
    state[EXP_AVG] = m;
    let v = decayed(state[EXP_AVG_SQ], hyper.beta2, hyper.beta2_low, hyper.gain2 * g * g);
    state[EXP_AVG_SQ] = v;
    return hyper.m_scale * abs(m) / (sqrt(hyper.v_scale * v) + hyper.eps) * sign_of(g);
}
