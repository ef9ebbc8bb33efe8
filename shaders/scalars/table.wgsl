// The launch sees the scalars of some cohorts, and a chunk names its cohort. The scalars are in a uniform, because
// drivers that cannot tell that all invocations read the same gather from a uniform faster than from storage.
@group(1) @binding(0) var<uniform> blocks: array<Block, window>;

fn scalars_of(place: Place) -> Scalars {
    return blocks[place.scalars].scalars;
}

// Whether the step is skipped. All blocks agree, and a read of the first block need not wait for the chunk.
fn skipped() -> bool {
    return blocks[0].scalars.skip > 0.0;
}
