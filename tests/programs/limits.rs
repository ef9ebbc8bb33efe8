//! Programs on devices that compute nothing, with small limits: whatever returns `Ok` is valid for wgpu.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use proptest::sample::select;
use wgpu_optim::wgpu::Limits;

use super::calls::STEPS_FIT_LIMITS;
use super::config;
use super::program::{Call, Grad, Home, Program, programs};
use super::rule::{Rule, Spec};
use super::runner::{How, Runner};
use proptest::test_runner::{TestCaseError, TestRunner};
use support::noop::device;
use wgpu_optim::Format;

/// Limits that differ from WebGPU's.
#[derive(Clone, Debug)]
struct Small {
    storage_binding: u64,
    buffer: u64,
    uniform_binding: u64,
    storage_buffers: u32,
    workgroups: u32,
    invocations: u32,
    alignment: u32,
    workgroup_storage: u32,
}

impl Small {
    fn limits(&self) -> Limits {
        Limits {
            max_storage_buffer_binding_size: self.storage_binding,
            max_buffer_size: self.buffer,
            max_uniform_buffer_binding_size: self.uniform_binding,
            max_storage_buffers_per_shader_stage: self.storage_buffers,
            max_compute_workgroups_per_dimension: self.workgroups,
            max_compute_invocations_per_workgroup: self.invocations,
            max_compute_workgroup_size_x: self.invocations,
            max_compute_workgroup_size_y: self.invocations,
            max_compute_workgroup_size_z: self.invocations.min(64),
            max_compute_workgroup_storage_size: self.workgroup_storage,
            min_storage_buffer_offset_alignment: self.alignment,
            ..Limits::default()
        }
    }
}

fn limits() -> impl Strategy<Value = Small> {
    let kib = select(vec![64_u64, 65, 128, 188, 1024, 1025, 8192]);
    let binding = (kib, select(vec![0_u64, 16, 100])).prop_map(|(kib, more)| kib * 1024 + more);
    let buffer = select(vec![64_u64, 256, 1024, 65_536]).prop_map(|kib| kib * 1024);
    let uniform = select(vec![8_u64, 16, 64]).prop_map(|kib| kib * 1024);
    let grid = (select(vec![1_u32, 3, 20, 65_535]), select(vec![1_u32, 7, 64, 256, 1024]));
    let rest = (4_u32..11, select(vec![32_u32, 64, 256]), select(vec![8_192_u32, 16_352, 32_768]));
    (binding, buffer, uniform, grid, rest).prop_map(
        |(storage_binding, buffer, uniform_binding, (workgroups, invocations), rest)| {
            let (storage_buffers, alignment, workgroup_storage) = rest;
            Small {
                storage_binding,
                buffer,
                uniform_binding,
                storage_buffers,
                workgroups,
                invocations,
                alignment,
                workgroup_storage,
            }
        },
    )
}

/// So many groups, with a parameter each.
fn many(groups: u16) -> impl Iterator<Item = Call> {
    let (lr, decay, decoupled, maximize, ema) = (0.1, 0.0, false, false, None);
    // No two have a scalar in common.
    let spec = move |i| {
        let rule = Rule::Adagrad { lr_decay: 0.1 + f64::from(i) / 1e5, eps: 0.1, eps_root: 0.0 };
        Spec { rule, lr, decay, decoupled, maximize, ema }
    };
    (0..groups).flat_map(move |i| {
        let home = Home::Arena(0);
        let grad = Grad { format: Format::F32, home };
        [Call::AddGroup(spec(i)), Call::AddParam { group: i, len: 3, home, grad }]
    })
}

#[test]
fn whatever_is_accepted_is_valid() {
    let most: u16 = if STEPS_FIT_LIMITS { 600 } else { 10 };
    let groups = prop_oneof![9 => Just(0_u16), 1 => 1..most];
    let limits = limits().prop_map(|small| match STEPS_FIT_LIMITS {
        true => small,
        false => Small {
            buffer: small.buffer.max(1 << 20),
            workgroups: small.workgroups.max(3),
            invocations: small.invocations.max(64),
            ..small
        },
    });
    let strategy = (limits, groups, programs(4..40), any::<bool>());
    let mut runner = TestRunner::new(config(1));
    let outcome = runner.run(&strategy, |(limits, groups, mut program, long)| {
        if long {
            // Longer than a binding.
            for call in &mut program.0 {
                if let Call::AddParam { len, .. } = call {
                    *len = len.saturating_mul(13);
                }
            }
        }
        let program = Program(many(groups).chain(program.0).collect());
        valid(limits.limits(), &program).map_err(TestCaseError::fail)
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

fn valid(limits: Limits, program: &Program) -> Result<(), String> {
    let (device, queue) = device(limits);
    let errors: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&errors);
    device.on_uncaptured_error(Arc::new(move |error| {
        let mut heard = heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        heard.push(error.to_string());
    }));
    let how = How { lenient: true, ..How::default() };
    // An error may end in a panic within wgpu, behind which the program would not be made shorter.
    let run = || Runner::new(None, &device, &queue, how).calls(program);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    let errors = errors.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    match errors.first() {
        Some(error) => Err(error.clone()),
        None => outcome.unwrap_or_else(|_| Err("a panic, reported above".to_owned())),
    }
}
