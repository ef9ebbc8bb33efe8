// The step from one index of a gradient to the next. Indices count gradients in fours.
const GRAD_STRIDE = 1u;
