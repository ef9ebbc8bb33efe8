// The batch that a dispatch works on. Stands in front of every kernel, behind the sizes of the network.
//
// A token is a character of the batch: token `t` is character `t % CONTEXT` of window `t / CONTEXT`. Numbers of tokens
// lie row by row, one row a token.

struct Batch {
    first: u32, // its windows begin at starts[first], starts[first + 1], …
    score: u32, // where its mean loss goes
}
@group(0) @binding(0) var<uniform> batch: Batch;
@group(0) @binding(1) var<storage, read> starts: array<u32>;
@group(0) @binding(2) var<storage, read> text: array<u32>;

const WORKGROUP_SIZE = 64u;

// The place of a token in the text.
fn place(token: u32) -> u32 {
    return starts[batch.first + token / CONTEXT] + token % CONTEXT;
}
