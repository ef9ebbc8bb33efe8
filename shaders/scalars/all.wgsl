// The launch sees the scalars of all cohorts, and a chunk names its cohort. The scalars are in storage, because
// parameters whose gradients come and go have clocks of their own, and there may be more clocks than a uniform holds.
@group(1) @binding(0) var<storage, read> blocks: array<Block>;

fn scalars_of(place: Place) -> Scalars {
    return blocks[place.scalars].scalars;
}

// Whether the step is skipped. All blocks agree, and a read of the first block need not wait for the chunk.
fn skipped() -> bool {
    return blocks[0].scalars.skip > 0.0;
}
