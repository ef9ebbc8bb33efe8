// A copy of the parameter, in fewer bits, for whoever computes with that.
fn load_copy_beside(at: Place) {}

fn store_copy_beside(at: Place, weight: real, step: Scalars) {
    store_copy(copy_at(at), weight);
}
