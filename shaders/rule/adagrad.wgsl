// Adagrad (Duchi, Hazan & Singer 2011).
//
//     s ← s + g²
//     direction = g / (√(s + ε_root) + ε) / (1 + (t − 1) η)

const SUM = 0u;

const HYPER_LENGTH = 3u;
struct Hyper {
    scale: f32, // 1 / (1 + (t − 1) η), the learning rate's decay
    eps_root: f32,
    eps: f32,
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    let s = state[SUM] + g * g;
    state[SUM] = s;
    return hyper.scale * g / (sqrt(s + hyper.eps_root) + hyper.eps);
}
