// Stochastic gradient descent with momentum (Polyak 1964) or Nesterov's (Sutskever et al. 2013).
//
//     b ← μ b + (1 − τ) g              b ← g at the first step
//     direction = b                    g + μ b with Nesterov, g without momentum

override MOMENTUM: bool = false;
override NESTEROV: bool = false;

const MOMENTUM_BUFFER = 0u;

const HYPER_LENGTH = 3u;
struct Hyper {
    momentum: f32,
    momentum_low: f32, // the part of μ that one f32 misses
    gain: f32, // 1 − τ, the dampening; 1 at the first step; times lr where the origin keeps it in the buffer
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    if !MOMENTUM {
        return g;
    }
    let part = hyper.gain * g;
    let b = decayed(state[MOMENTUM_BUFFER], hyper.momentum, hyper.momentum_low, part);
    state[MOMENTUM_BUFFER] = b;
    if NESTEROV {
        return part + hyper.momentum * b;
    }
    return b;
}
