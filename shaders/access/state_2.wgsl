fn load_state(i: u32) {
    state = State(load_slot_0(i), load_slot_1(i), real(), real());
}

fn store_state(i: u32) {
    store_slot_0(i, state[0]);
    store_slot_1(i, state[1]);
}
