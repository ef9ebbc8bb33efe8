// The step from one index of a gradient to the next. Gradients may begin anywhere, so indices count their elements.
const GRAD_STRIDE = 4u;
