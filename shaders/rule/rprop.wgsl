// Rprop (Riedmiller & Braun 1993), in the form iRprop⁻ (Igel & Hüsken 2003), as PyTorch has it.
//
//     s ← s · η₊ if g and the gradient before it have the same sign, s · η₋ if opposite ones
//     s ← s limited to step_sizes      s starts at lr
//     g ← 0 where the signs were opposite
//     p ← p − sign(g) s

const PREV = 0u;
const STEP_SIZE = 1u;

const HYPER_LENGTH = 4u;
struct Hyper {
    eta_minus: f32,
    eta_plus: f32,
    smallest: f32, // both of step_sizes
    largest: f32,
}

fn direction(p: real, g: real, hyper: Hyper) -> real {
    // Signs are multiplied and not gradients, whose product may be too small or too large for a number.
    let sign = sign_or_zero(g);
    let turn = sign * sign_or_zero(state[PREV]);
    let grown = select(real(1.0), real(hyper.eta_plus), turn > real());
    let eta = select(grown, real(hyper.eta_minus), turn < real());
    let size = limited(state[STEP_SIZE] * eta, real(hyper.smallest), real(hyper.largest));
    state[STEP_SIZE] = size;
    state[PREV] = select(g, real(), turn < real());
    return select(sign, real(), turn < real()) * size;
}
