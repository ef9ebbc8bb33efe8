// Averaged SGD (Polyak & Juditsky 1992), as PyTorch has it.
//
//     direction = η (g + λ p)         η = lr / (1 + λ lr (t − 1))^α
//     ax ← ax + μ (p − ax)             of the parameter after the step; μ = 1 / max(1, t − 1 − t0)

const AX = 0u;

const HYPER_LENGTH = 4u;
struct Hyper {
    lambd: f32, // λ
    eta: f32,   // η
    mu: f32,
    decay: f32, // the driver's factor, for the parameter after the step; the factor of the direction is 1
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    let u = hyper.eta * (g + hyper.lambd * p);
    let x = stepped(p, u, 1.0, hyper.decay);
    // The parameter itself, and no sum that rounds, until averaging begins.
    let ax = state[AX];
    state[AX] = select(x, ax + hyper.mu * (x - ax), hyper.mu < 1.0);
    return u;
}
