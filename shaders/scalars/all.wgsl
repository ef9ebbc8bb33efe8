// The scalars of all cohorts: a chunk says whose. In storage, because parameters whose gradients come and go have
// clocks of their own, and more of them than a uniform holds.
@group(1) @binding(0) var<storage, read> blocks: array<Block>;

fn scalars_of(place: Place) -> Scalars {
    return blocks[place.scalars].scalars;
}

// Whether the step is not to be taken. All blocks agree; the first need not wait for the chunk.
fn skipped() -> bool {
    return blocks[0].scalars.skip > 0.0;
}
