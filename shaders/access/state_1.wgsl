fn load_state(i: u32) {
    state = State(load_slot_0(i), real(), real(), real());
}

fn store_state(i: u32) {
    store_slot_0(i, state[0]);
}
