@group(0) @binding(2) var<storage, read_write> params: array<param_word>;

fn load_param(i: u32) -> real {
    return decode_param(params[i]);
}

fn store_param(i: u32, x: real) {
    params[i] = encode_param(x);
}
