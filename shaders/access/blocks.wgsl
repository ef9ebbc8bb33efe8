// This access moves a slot in blocks. Each block is a record of words: its codes, then its scale. A word holds the codes
// of one `real` or of a few, the first in its lowest bits, as differences to the code of 0.
@group(role_group) @binding(role_binding) var<storage, read_write> role_buffer: array<u32>;

// The codes of one `real`, and the scale of its block.
var<private> role_bits: u32;
var<private> role_scale: f32;

// The largest magnitude of each invocation's numbers, later each invocation's codes.
var<workgroup> role_lanes: array<u32, LANES>;
// The largest magnitudes of several invocations.
var<workgroup> role_parts: array<u32, LANES / codec_reals * codec_parts>;

// Returns the first word of the record that holds the `i`th `real`.
fn record_of_role(i: u32) -> u32 {
    let block = i / codec_reals;
    return block * (codec_record - 1u) + block;
}

fn word_of_role(i: u32) -> u32 {
    return record_of_role(i) + i % codec_reals / codec_share;
}

fn fetch_role(i: u32) {
    role_bits = role_buffer[word_of_role(i)] >> (i % codec_share * codec_stride);
    role_scale = bitcast<f32>(role_buffer[record_of_role(i) + codec_record - 1u]);
}

fn load_role() -> real {
    return decode_codec(role_bits, role_scale);
}

fn measure_role(lane: u32, x: real) {
    role_lanes[lane] = highest(bitcast<real_bits>(x) & real_bits(0x7fffffffu));
}

// Finds the largest magnitude of some neighbouring invocations. Bits of magnitudes have the order of the magnitudes, and
// those of a NaN are above all others.
fn gather_role(lane: u32) {
    const each = codec_reals / codec_parts;
    // An invocation a part is enough.
    if lane < LANES / each {
        var most = 0u;
        for (var i = 0u; i < each; i++) {
            most = max(most, role_lanes[lane * each + i]);
        }
        role_parts[lane] = most;
    }
}

fn encode_role(lane: u32, x: real, random: real_bits) {
    let first = lane / codec_reals * codec_parts;
    var most = 0u;
    for (var i = 0u; i < codec_parts; i++) {
        most = max(most, role_parts[first + i]);
    }
    // Subnormal numbers count as 0, because some devices take them for 0.
    role_scale = bitcast<f32>(select(most, 0u, most < SMALLEST_NORMAL));
    role_bits = encode_codec(x, role_scale, random);
    if codec_share > 1u {
        role_lanes[lane] = role_bits;
    }
}

fn store_role(i: u32, lane: u32) {
    if i % codec_share == 0u {
        var word = role_bits;
        for (var k = 1u; k < codec_share; k++) {
            word |= role_lanes[lane + k] << (k * codec_stride);
        }
        role_buffer[word_of_role(i)] = word;
    }
    if i % codec_reals == 0u {
        role_buffer[record_of_role(i) + codec_record - 1u] = bitcast<u32>(role_scale);
    }
}
