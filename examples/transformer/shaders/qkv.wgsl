// Queries, keys and values: three parts of each token's row, one after another, each of one part for each head. Stands
// in front of the kernels of attention.

const HEAD_QUADS = WIDTH / HEADS / 4u;
const ROW_QUADS = 3u * WIDTH / 4u;
const QUERY = 0u;
const KEY = WIDTH / 4u;
const VALUE = 2u * WIDTH / 4u;

alias Part = array<vec4<f32>, HEAD_QUADS>;

// An invocation works on a token and a head.
struct Place {
    token: u32,
    head: u32,
    first: u32, // the first token of the window
}

fn place_of(index: u32) -> Place {
    let token = index / HEADS;
    return Place(token, index % HEADS, token / CONTEXT * CONTEXT);
}

// The quad of a query, a key or a value where a head's part begins.
fn part(token: u32, which: u32, head: u32) -> u32 {
    return token * ROW_QUADS + which + head * HEAD_QUADS;
}

// The quad where a head's part of a token's row begins, in rows of the network's width.
fn own(token: u32, head: u32) -> u32 {
    return token * (WIDTH / 4u) + head * HEAD_QUADS;
}

const SCALE = inverseSqrt(f32(WIDTH / HEADS));
