//! Every kernel as text: the compilers that will meet it accept it, and it declares what the host
//! binds and writes. No GPU is needed.

mod files;
mod layout;
mod matrix;
mod order;
mod spirv;
mod subject;
mod tint;
#[path = "../tools/mod.rs"]
mod tools;

use std::process::{Command, Stdio};

use wgpu_optim::kernel::kernels;

/// Whether a program can be started.
fn runs(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}

/// The tests here see every kernel there is.
#[test]
fn no_kernel_is_left_out() {
    let subjects: Vec<String> = subject::all().iter().map(|s| s.kernel.name.clone()).collect();
    let kernels: Vec<String> = kernels().into_iter().map(|kernel| kernel.name).collect();
    assert_eq!(subjects, kernels);
    // Of f32, a third of them take steps, a third clip before, a third only move the bytes. The 26 other
    // combinations of formats take steps, three with remainders, six with masters, and six at random; half
    // as many each, because their gradients lie in one kind of place: eight with averages, four with
    // copies, and three that clear gradients.
    let counts = |word: &str| kernels.iter().filter(|name| name.ends_with(word)).count();
    assert_eq!(2 * counts("-update"), (2 * 42 + 15) * counts("-clip"));
    assert!(counts("-clip") == counts("-stream") && counts("-clip") > 0);
}

/// Every kernel passes naga's validator and can be said in Metal's, Direct3D's and OpenGL's languages.
#[test]
fn naga_translates_every_kernel() {
    for subject in subject::all().iter().chain(subject::control()) {
        let name = subject.name();
        let glsl = subject.glsl().unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(glsl.contains("layout(local_size_x = 256"), "{name}");
        assert!(subject.hlsl().contains("[numthreads(256, 1, 1)]"), "{name}");
        assert!(subject.msl().contains("kernel void "), "{name}");
    }
}
