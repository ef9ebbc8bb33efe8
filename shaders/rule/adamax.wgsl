// Adamax (Kingma & Ba 2015, algorithm 2): ADAM with the largest magnitude in place of the root mean square.
//
//     m ← β₁ m + (1 − β₁) g
//     u ← max(β₂ u, |g| + eps)
//     direction = m̂ / u                     m̂ = m / (1 − β₁ᵗ)

const EXP_AVG = 0u;
const EXP_INF = 1u;

const HYPER_LENGTH = 8u;
struct Hyper {
    beta1: f32,
    beta1_low: f32, // the part of β₁ that one f32 misses
    gain1: f32, // 1 − β₁
    beta2: f32,
    beta2_low: f32, // the part of β₂ that one f32 misses
    m_scale: f32, // 1 / (1 − β₁ᵗ)
    eps: f32, // ε inside the maximum
    eps_outside: f32, // ε outside
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    let m = decayed(state[EXP_AVG], hyper.beta1, hyper.beta1_low, hyper.gain1 * g);
    state[EXP_AVG] = m;
    let faded = decayed(state[EXP_INF], hyper.beta2, hyper.beta2_low, real());
    let u = larger(faded, abs(g) + hyper.eps);
    state[EXP_INF] = u;
    return hyper.m_scale * m / (u + hyper.eps_outside);
}
