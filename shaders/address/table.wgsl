// The launch has many runs of numbers in the same buffers, of any number of groups. The table `chunks` has a row for
// each part of a run; one or a few workgroups share a row.
@group(0) @binding(0) var<uniform> launch: Launch;
// x, y, z: the first parameter, gradient and state; w: block of scalars << 16 | length in `real`s.
@group(0) @binding(1) var<storage, read> chunks: array<vec4<u32>>;

fn locate(workgroup: vec3<u32>, lane: u32) -> Place {
    let number = workgroup.y * launch.row + workgroup.x;
    let index = number >> launch.shift;
    let chunk = chunks[min(index, launch.length - 1u)]; // the grid's last row may be longer than the table
    let part = number & ((1u << launch.shift) - 1u);
    let i = part * WORKGROUP_SPAN + lane;
    let length = chunk.w & 0xffffu;
    let inside = index < launch.length && i < length;
    let grad = chunk.y + i * GRAD_STRIDE;
    return Place(chunk.x + i, grad, chunk.z + i, chunk.w >> 16u, part, length - i, inside);
}
