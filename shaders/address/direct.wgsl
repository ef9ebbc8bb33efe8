// The launch has one run of numbers of one group. The uniform `launch` says where the run starts and ends.
@group(0) @binding(0) var<uniform> launch: Launch;

fn locate(workgroup: vec3<u32>, lane: u32) -> Place {
    let part = workgroup.y * launch.row + workgroup.x;
    let i = part * WORKGROUP_SPAN + lane;
    let left = launch.length - i;
    let inside = i < launch.length;
    let grad = launch.grad + i * GRAD_STRIDE;
    return Place(launch.param + i, grad, launch.state + i, 0u, part, left, inside);
}
