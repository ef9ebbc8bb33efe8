// The step writes a copy of the parameter in fewer bits, for the caller's forward pass.
fn load_copy_beside(at: Place) {}

fn store_copy_beside(at: Place, weight: real, step: Scalars) {
    store_copy(copy_at(at), weight);
}
