// The step from one index of a gradient to the next: gradients, which may begin anywhere, are counted in elements.
const GRAD_STRIDE = 4u;
