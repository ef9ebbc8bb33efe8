// Schedule-Free AdamW (Defazio et al. 2024).
//
//     v ← β₂ v + (1 − β₂) g²
//     n = g / (√(v / (1 − β₂ᵗ)) + eps) + λ y
//     y ← y − c (y − z) − lrₜ (1 − β₁ (1 − c)) n
//     z ← z − lrₜ n               z starts at y; y uses the old z
//
// c is the part of this step in the average of all steps.

const Z = 0u;
const EXP_AVG_SQ = 1u;

const HYPER_LENGTH = 9u;
struct Hyper {
    beta2: f32,
    beta2_low: f32, // the part of β₂ that one f32 misses
    gain2: f32,     // 1 − β₂
    v_scale: f32,   // 1 / (1 − β₂ᵗ)
    eps: f32,
    part: f32,      // c
    gain: f32,      // lrₜ (1 − β₁ (1 − c))
    rate: f32,      // lrₜ
    decay: f32,     // λ
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    let v = decayed(state[EXP_AVG_SQ], hyper.beta2, hyper.beta2_low, hyper.gain2 * g * g);
    state[EXP_AVG_SQ] = v;
    let n = g / (sqrt(hyper.v_scale * v) + hyper.eps) + hyper.decay * p;
    let z = state[Z];
    state[Z] = z - hyper.rate * n;
    return hyper.part * (p - z) + hyper.gain * n;
}
