// Many runs of numbers in the same buffers, any number of groups: a table gives each workgroup its chunk.
@group(0) @binding(0) var<uniform> launch: Launch;
// x, y, z: the first parameter, gradient and state; w: block of scalars << 16 | length in `real`s.
@group(0) @binding(1) var<storage, read> chunks: array<vec4<u32>>;

// 256 bytes, by members that exist: GLSL cannot express `@size`, and naga drops it there.
struct Block {
    scalars: Scalars,
    padding: array<f32, 60u - HYPER_LENGTH>,
}
@group(1) @binding(0) var<storage, read> blocks: array<Block>;

fn locate(workgroup: vec3<u32>, lane: u32) -> Place {
    let index = workgroup.y * launch.row + workgroup.x;
    let chunk = chunks[min(index, launch.length - 1u)]; // the grid's last row may be longer than the table
    let inside = index < launch.length && lane < (chunk.w & 0xffffu);
    return Place(chunk.x + lane, chunk.y + lane, chunk.z + lane, chunk.w >> 16u, inside);
}

fn scalars_of(place: Place) -> Scalars {
    return blocks[place.scalars].scalars;
}
