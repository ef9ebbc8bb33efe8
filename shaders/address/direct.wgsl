// One run of numbers, one group: the launch says where it starts and ends.
@group(0) @binding(0) var<uniform> launch: Launch;
@group(1) @binding(0) var<uniform> scalars: Scalars;

fn locate(workgroup: vec3<u32>, lane: u32) -> Place {
    let i = (workgroup.y * launch.row + workgroup.x) * WORKGROUP_SIZE + lane;
    return Place(launch.param + i, launch.grad + i, launch.state + i, 0u, i < launch.length);
}

fn scalars_of(place: Place) -> Scalars {
    return scalars;
}
