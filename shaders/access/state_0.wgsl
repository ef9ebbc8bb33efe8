// A rule without history.
fn load_state(i: u32) {}

fn store_state(i: u32) {}
