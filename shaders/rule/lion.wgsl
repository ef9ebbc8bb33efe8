// Lion (Chen et al. 2023, program 1).
//
//     direction = sign(β₁ m + (1 − β₁) g)
//     m ← β₂ m + (1 − β₂) g

const EXP_AVG = 0u;

const HYPER_LENGTH = 6u;
struct Hyper {
    beta1: f32,
    beta1_low: f32, // the part of β₁ that one f32 misses
    gain1: f32,     // 1 − β₁
    beta2: f32,
    beta2_low: f32,
    gain2: f32,
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    let m = state[EXP_AVG];
    state[EXP_AVG] = decayed(m, hyper.beta2, hyper.beta2_low, hyper.gain2 * g);
    return sign_of(decayed(m, hyper.beta1, hyper.beta1_low, hyper.gain1 * g));
}
