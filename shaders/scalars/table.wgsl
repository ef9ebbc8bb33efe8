// The scalars of some cohorts: a chunk says whose. In a uniform, because drivers that cannot tell that all
// invocations read the same still gather from it faster than from storage.
@group(1) @binding(0) var<uniform> blocks: array<Block, window>;

fn scalars_of(place: Place) -> Scalars {
    return blocks[place.scalars].scalars;
}

// Whether the step is not to be taken. All blocks agree; the first need not wait for the chunk.
fn skipped() -> bool {
    return blocks[0].scalars.skip > 0.0;
}
