// This kernel notes the generation of the sums that the launches before it have made.

@group(0) @binding(0) var<storage, read_write> sums: Sums;
@group(1) @binding(0) var<uniform> now: Sums;

@compute @workgroup_size(1)
fn mark() {
    sums.generation = now.generation;
}
