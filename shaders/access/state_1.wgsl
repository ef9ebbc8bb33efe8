@group(0) @binding(4) var<storage, read_write> slot_0: array<state_word>;

fn load_state(i: u32) {
    state = State(decode_state(slot_0[i]), real(), real());
}

fn store_state(i: u32) {
    slot_0[i] = encode_state(state[0]);
}
