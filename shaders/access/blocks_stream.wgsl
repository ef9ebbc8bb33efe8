// This access has the traffic of a slot in blocks, and no arithmetic of codes.
@group(role_group) @binding(role_binding) var<storage, read_write> role_buffer: array<u32>;

var<private> role_bits: u32;

fn record_of_role(i: u32) -> u32 {
    let block = i / codec_reals;
    return block * (codec_record - 1u) + block;
}

fn word_of_role(i: u32) -> u32 {
    return record_of_role(i) + i % codec_reals / codec_share;
}

fn load_role(i: u32) -> real {
    role_bits = role_buffer[word_of_role(i)];
    return real(bitcast<f32>(role_buffer[record_of_role(i) + codec_record - 1u]));
}

fn store_role(i: u32, x: real) {
    let bits = bitcast<u32>(total(x));
    if i % codec_share == 0u {
        role_buffer[word_of_role(i)] = role_bits + bits;
    }
    if i % codec_reals == 0u {
        role_buffer[record_of_role(i) + codec_record - 1u] = bits;
    }
}
