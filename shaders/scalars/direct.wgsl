// The launch sees the scalars of its one cohort.

@group(1) @binding(0) var<uniform> scalars: Scalars;

fn scalars_of(place: Place) -> Scalars {
    return scalars;
}

// Whether the step is skipped.
fn skipped() -> bool {
    return scalars.skip > 0.0;
}
