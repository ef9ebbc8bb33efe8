// The scalars of every group: a chunk says whose.

// 256 bytes, by members that exist: GLSL cannot express `@size`, and naga drops it there.
struct Block {
    scalars: Scalars,
    padding: array<f32, 56u - HYPER_LENGTH>,
}
@group(1) @binding(0) var<storage, read> blocks: array<Block>;

fn scalars_of(place: Place) -> Scalars {
    return blocks[place.scalars].scalars;
}

// Whether the step is not to be taken. All blocks agree; the first need not wait for the chunk.
fn skipped() -> bool {
    return blocks[0].scalars.skip > 0.0;
}
