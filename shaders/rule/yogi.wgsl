// Yogi (Zaheer et al. 2018).
//
//     m ← β₁ m + (1 − β₁) g            m and v start at a number above 0
//     v ← v − (1 − β₂) sign(v − g²) g²
//     direction = m̂ / (√v̂ + ε)        m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)

const EXP_AVG = 0u;
const EXP_AVG_SQ = 1u;

const HYPER_LENGTH = 7u;
struct Hyper {
    beta1: f32,
    beta1_low: f32, // the part of β₁ that one f32 misses
    gain1: f32,     // 1 − β₁
    gain2: f32,     // 1 − β₂
    m_scale: f32,   // 1 / (1 − β₁ᵗ)
    v_scale: f32,   // 1 / (1 − β₂ᵗ)
    eps: f32,
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    let m = decayed(state[EXP_AVG], hyper.beta1, hyper.beta1_low, hyper.gain1 * g);
    state[EXP_AVG] = m;
    let square = g * g;
    let old = state[EXP_AVG_SQ];
    let v = old - hyper.gain2 * sign_of(old - square) * square;
    state[EXP_AVG_SQ] = v;
    return hyper.m_scale * m / (sqrt(hyper.v_scale * v) + hyper.eps);
}
