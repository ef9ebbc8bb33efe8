// Signum, which is signSGD with momentum (Bernstein et al. 2018).
//
//     b ← μ b + (1 − μ) g
//     direction = sign(b)              sign(g) without momentum

override MOMENTUM: bool = false;

const MOMENTUM_BUFFER = 0u;

const HYPER_LENGTH = 3u;
struct Hyper {
    momentum: f32,
    momentum_low: f32, // the part of μ that one f32 misses
    gain: f32,         // 1 − μ
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    if !MOMENTUM {
        return sign_or_zero(g);
    }
    let b = decayed(state[MOMENTUM_BUFFER], hyper.momentum, hyper.momentum_low, hyper.gain * g);
    state[MOMENTUM_BUFFER] = b;
    return sign_or_zero(b);
}
