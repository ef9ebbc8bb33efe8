//! Prints a kernel's complete WGSL, to read it or to check it with other tools.
//!
//! `cargo run --example print_kernel` lists the names; with a name it prints that kernel, with
//! `--all DIR` it writes every one to a file there. A comment like `// --- shaders/step.wgsl ---` says where
//! each file of `shaders/` begins.

use std::process::ExitCode;

use wgpu_optim::kernel::{Kernel, control_kernels, kernels};

fn all() -> Vec<Kernel> {
    kernels().into_iter().chain(control_kernels()).collect()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => all().iter().for_each(|kernel| println!("{}", kernel.name)),
        ["--all", directory] => {
            for kernel in all() {
                let path = format!("{directory}/{}.wgsl", kernel.name);
                if let Err(error) = std::fs::write(&path, kernel.wgsl) {
                    eprintln!("{path}: {error}");
                    return ExitCode::FAILURE;
                }
            }
        }
        [name] => match all().into_iter().find(|kernel| kernel.name == *name) {
            Some(kernel) => println!("{}", kernel.wgsl),
            None => {
                eprintln!("no kernel `{name}`; run without arguments for a list");
                return ExitCode::FAILURE;
            }
        },
        _ => {
            eprintln!("usage: print_kernel [NAME | --all DIR]");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
