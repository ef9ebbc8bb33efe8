//! Vulkan's validation layer has nothing to say about what an optimizer records.
//!
//! Each test starts itself as a child process, for which a settings file tells the layer to write
//! what it has to say to another file. Through wgpu's own messages it could not be asked: those need
//! `InstanceFlags::DEBUG`, which makes naga name WGSL as the source language in its SPIR-V, and layers
//! before 2023 do not know that language.

use std::path::Path;
use std::process::Command;
use support::ByName;

use support::{Training, cases, one_of_each_text, slots, stats};
use wgpu_optim::headless::Gpu;
use wgpu_optim::{Control, Error, Group, LossScale, Optimizer, View};

/// Nothing a step does breaks a rule of Vulkan or races with another step.
#[test]
fn the_layer_stays_silent() {
    if is_child() {
        let gpu = gpu();
        for group in one_of_each_text() {
            train(&gpu, &group).unwrap_or_else(|e| panic!("{group:?}: {e}"));
        }
        for case in cases() {
            let mut training = Training::new(&gpu, &case);
            (0..2).for_each(|_| training.step());
            training.bits();
        }
    } else if let Some(complaints) = complaints("the_layer_stays_silent") {
        assert!(complaints.is_empty(), "{complaints}");
    }
}

/// A broken rule is heard.
#[test]
fn the_layer_is_heard() {
    if is_child() {
        misuse(&gpu());
    } else if let Some(complaints) = complaints("the_layer_is_heard") {
        assert!(complaints.contains("vkResetFences"), "{complaints:?}");
    }
}

/// Every way in which a step finds its numbers: buffers of their own, whole and in part; many views
/// of one buffer with two groups; gradients in the parameters' buffer. Several steps in one encoder,
/// a parameter that is added later, and a gradient that moves.
fn train(gpu: &Gpu, group: &Group) -> Result<(), Error> {
    let mut optimizer = Optimizer::new(&gpu.device);
    let other = group.clone().lr(group.lr / 2.0).weight_decay(0.02);
    let groups = [optimizer.add_group(group.clone())?, optimizer.add_group(other)?];

    for len in [1, 3, 4, 5, 1023, 4099] {
        let [param, grad] = [0, 1].map(|_| View::f32(&buffer(gpu, len)));
        optimizer.add_param(groups[(len % 2) as usize], &format!("own {len}"), param, grad)?;
    }
    let [params, grads] = [0, 1].map(|_| buffer(gpu, 4096));
    for (i, at) in (0..4000).step_by(401).enumerate() {
        let (param, grad) = (View::f32_at(&params, 4 * at, 300), View::f32_at(&grads, 4 * at, 300));
        optimizer.add_param(groups[i % 2], &format!("arena {i}"), param, grad)?;
    }
    let shared = View::f32(&buffer(gpu, 2000));
    for (i, at) in [0, 333].into_iter().enumerate() {
        let (param, grad) = (at..at + 330, 1000 + at..1330 + at);
        let (param, grad) = (shared.clone().range(param), shared.clone().range(grad));
        optimizer.add_param(groups[i], &format!("shared {i}"), param, grad)?;
    }

    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    for _ in 0..3 {
        optimizer.step(&mut encoder);
    }
    // From here on the GPU counts.
    optimizer.set_control(Control {
        clip_norm: Some(1.0),
        clip_value: Some(0.5),
        loss_scale: LossScale::dynamic(),
        ..Control::default()
    })?;
    for _ in 0..3 {
        optimizer.step(&mut encoder);
    }
    gpu.queue.submit([encoder.finish()]);
    assert_eq!(stats(gpu, &optimizer).taken, 6);

    let [late, grad] = [0, 1].map(|_| View::f32(&buffer(gpu, 77)));
    let late = optimizer.add_param(groups[0], "late", late, grad)?;
    gpu.step(&mut optimizer);
    optimizer.set_grad(late, View::f32_at(&grads, 4 * 4009, 77))?;
    gpu.step(&mut optimizer);

    let mut views = vec![View::f32(&params), shared];
    for slot in slots(group) {
        views.push(optimizer.state_of("own 1023", slot)?);
    }
    gpu.download_all(&views)?;
    Ok(())
}

fn buffer(gpu: &Gpu, elements: u64) -> wgpu::Buffer {
    gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 4 * elements,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    })
}

/// A call that Vulkan forbids.
#[allow(unsafe_code, reason = "whoever listens for errors must have heard one")]
fn misuse(gpu: &Gpu) {
    // SAFETY: to reset no fences at all is forbidden, but there is nothing a driver could do wrong.
    let reset = unsafe {
        let device = gpu.device.as_hal::<wgpu::hal::api::Vulkan>();
        device.map(|device| device.raw_device().reset_fences(&[]))
    };
    assert!(reset.is_some(), "not a Vulkan device");
}

/// A Vulkan device with the validation layer in between.
fn gpu() -> Gpu {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::VULKAN,
        flags: wgpu::InstanceFlags::VALIDATION,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapter = pollster::block_on(instance.request_adapter(&Default::default()));
    let adapter = adapter.unwrap_or_else(|e| panic!("no Vulkan adapter: {e}"));
    let gpu = Gpu::on(adapter).unwrap_or_else(|e| panic!("{e}"));
    println!("{}", gpu.describe());
    gpu
}

const CHILD: &str = "WGPU_OPTIM_VALIDATION_CHILD";

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// The layer's complaints about a test run as a child; `None` if the test does without the layer.
fn complaints(test: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap_or_else(|e| panic!("no temporary folder: {e}"));
    let said = folder.path().join("said.txt");
    let settings = folder.path().join("vk_layer_settings.txt");
    if let Err(e) = std::fs::write(&settings, layer_settings(&said)) {
        panic!("{}: {e}", settings.display());
    }
    let this = std::env::current_exe().unwrap_or_else(|e| panic!("where is this test? {e}"));
    let child = Command::new(this)
        .args([test, "--exact", "--nocapture"])
        .env(CHILD, "1")
        .env("VK_LAYER_SETTINGS_PATH", folder.path())
        .output()
        .unwrap_or_else(|e| panic!("this test did not start again: {e}"));

    let [out, err] = [&child.stdout, &child.stderr].map(|text| String::from_utf8_lossy(text));
    // The layer makes the file when it is loaded, before it has anything to say.
    let Ok(said) = std::fs::read_to_string(&said) else {
        let remedy = "Debian, Ubuntu: apt install vulkan-validationlayers mesa-vulkan-drivers";
        support::tools::missing("validation-layer", "the use of Vulkan", &format!("{err}{remedy}"));
        return None;
    };
    assert!(child.status.success(), "{out}{err}");
    Some(said)
}

fn layer_settings(log: &Path) -> String {
    // naga gives arrays in registers a stride, which newer layers call an error, drivers do not mind
    // and wgpu silences too (its issue 7696).
    format!(
        "khronos_validation.debug_action = VK_DBG_LAYER_ACTION_LOG_MSG\n\
         khronos_validation.report_flags = error,warn,perf\n\
         khronos_validation.log_filename = {}\n\
         khronos_validation.message_id_filter = VUID-StandaloneSpirv-None-10684\n",
        log.display()
    )
}
