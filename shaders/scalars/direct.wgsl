// The scalars of the one group there is.

@group(1) @binding(0) var<uniform> scalars: Scalars;

fn scalars_of(place: Place) -> Scalars {
    return scalars;
}

// Whether the step is not to be taken.
fn skipped() -> bool {
    return scalars.skip > 0.0;
}
