// The step from one index of a gradient to the next: gradients are counted in fours.
const GRAD_STRIDE = 1u;
