//! Every kernel as text: the compilers that will meet it accept it, and it declares what the host
//! binds and writes. No GPU is needed.

mod cover;
mod files;
mod layout;
mod matrix;
mod names;
mod numbers;
mod order;
mod spirv;
mod structs;
mod subject;
mod tint;

use std::process::{Command, Stdio};

use rayon::prelude::*;
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
    assert!(!kernels.is_empty());
}

/// Kernels can be said in Metal's, Direct3D's and OpenGL's languages.
#[test]
fn naga_translates_kernels() {
    subject::few().par_iter().for_each(|subject| {
        let (name, size) = (subject.name(), subject.workgroup_size());
        let glsl = subject.glsl().unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(glsl.contains(&format!("layout(local_size_x = {size},")), "{name}");
        assert!(subject.hlsl().contains(&format!("[numthreads({size}, 1, 1)]")), "{name}");
        assert!(subject.msl().contains("kernel void "), "{name}");
    });
}
