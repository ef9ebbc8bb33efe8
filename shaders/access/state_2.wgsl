@group(0) @binding(4) var<storage, read_write> slot_0: array<state_word>;
@group(0) @binding(5) var<storage, read_write> slot_1: array<state_word>;

fn load_state(i: u32) {
    state = State(decode_state(slot_0[i]), decode_state(slot_1[i]), real());
}

fn store_state(i: u32) {
    slot_0[i] = encode_state(state[0]);
    slot_1[i] = encode_state(state[1]);
}
