// The generation of the sums that were made last.
struct Sums {
    generation: u32, // counts the steps that took sums
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
}
