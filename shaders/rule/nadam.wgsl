// NAdam (Dozat 2016): ADAM with Nesterov's momentum.
//
//     m ← β₁ m + (1 − β₁) g
//     v ← β₂ v + (1 − β₂) g²
//     direction = (a g + b m) / (√(v̂ + eps_root) + eps)          v̂ = v / (1 − β₂ᵗ)
//     a = (1 − μₜ) / (1 − μ₁ ⋯ μₜ)        b = μₜ₊₁ / (1 − μ₁ ⋯ μₜ₊₁)      μₜ = β₁ (1 − ½ · 0.96^(t · momentum_decay))

const EXP_AVG = 0u;
const EXP_AVG_SQ = 1u;

const HYPER_LENGTH = 11u;
struct Hyper {
    beta1: f32,
    beta1_low: f32, // the part of β₁ that one f32 misses
    gain1: f32, // 1 − β₁
    beta2: f32,
    beta2_low: f32, // the part of β₂ that one f32 misses
    gain2: f32, // 1 − β₂
    v_scale: f32, // 1 / (1 − β₂ᵗ)
    g_scale: f32, // a
    m_scale: f32, // b
    eps_root: f32,
    eps: f32,
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    let m = decayed(state[EXP_AVG], hyper.beta1, hyper.beta1_low, hyper.gain1 * g);
    state[EXP_AVG] = m;
    let v = decayed(state[EXP_AVG_SQ], hyper.beta2, hyper.beta2_low, hyper.gain2 * g * g);
    state[EXP_AVG_SQ] = v;
    let root = sqrt(hyper.v_scale * v + hyper.eps_root);
    return (hyper.g_scale * g + hyper.m_scale * m) / (root + hyper.eps);
}
