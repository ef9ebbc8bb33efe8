// The scalars of some groups: a chunk says whose. In a uniform, because drivers that cannot tell that all
// invocations read the same still gather from it faster than from storage.

// 256 bytes, by members that exist: GLSL cannot express `@size`, and naga drops it there.
struct Block {
    scalars: Scalars,
    padding: array<vec4<f32>, (48u - HYPER_LENGTH) / 4u>,
}
const WINDOW = 32u;
@group(1) @binding(0) var<uniform> blocks: array<Block, WINDOW>;

fn scalars_of(place: Place) -> Scalars {
    return blocks[place.scalars].scalars;
}

// Whether the step is not to be taken. All blocks agree; the first need not wait for the chunk.
fn skipped() -> bool {
    return blocks[0].scalars.skip > 0.0;
}
