//! Views of 16-bit numbers: gradients that are clipped, and views that are refused.

use support::{gpu, numbers, ok};
use wgpu_optim::wgpu::BufferUsages;
use wgpu_optim::{Control, Format, Group, Optimizer, View};

use super::{ORACLES, packed};

/// Clipping takes the norm of what the gradients are, however they are stored.
#[test]
fn the_norm_of_16_bit_gradients() {
    let gpu = gpu();
    let norm = |grad: View| {
        let w = ok(gpu.zeros("w", grad.len));
        let mut optimizer = Optimizer::new(&gpu.device);
        let group = ok(optimizer.add_group(Group::sgd(0.1)));
        ok(optimizer.add_param(group, "w", View::f32(&w), grad));
        ok(optimizer.set_control(Control { clip_norm: Some(1.0), ..Control::default() }));
        gpu.step(&mut optimizer);
        (support::stats(gpu, &optimizer).norm, support::bits(gpu, &View::f32(&w)))
    };
    for (format, decode, encode) in ORACLES {
        let codes: Vec<u16> = numbers(4001, 9).into_iter().map(encode).collect();
        let halves: Vec<f32> =
            (packed(&[&codes[..], &[0]].concat()).into_iter()).map(f32::from_bits).collect();
        let words: Vec<f32> = codes.iter().map(|code| decode(*code)).collect();
        let halves = View::whole(&ok(gpu.upload("g", &halves)), format).range(0..4001);
        let words = View::f32(&ok(gpu.upload("g", &words)));
        assert_eq!(norm(halves), norm(words), "{format:?}");
    }
}

#[test]
fn wrong_views_of_16_bits() {
    let gpu = gpu();
    let odd = gpu.device.create_buffer(&wgpu_optim::wgpu::BufferDescriptor {
        label: None,
        size: 6,
        usage: BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let whole = ok(gpu.zeros("w", 8));
    let mut optimizer = Optimizer::new(&gpu.device);
    let group = ok(optimizer.add_group(Group::sgd(0.1)));
    let mut error = |param: View| {
        let grad = View::f32(&ok(gpu.zeros("g", 64))).range(0..param.len);
        optimizer.add_param(group, "w", param, grad).map_err(|e| e.to_string()).err()
    };
    assert_eq!(
        error(View::f16_at(&whole, 3, 2)).as_deref(),
        Some(
            "parameter `w`: its view starts at byte 3, which is not a multiple of 2; move it to byte 2"
        )
    );
    assert_eq!(
        error(View::bf16(&odd)).as_deref(),
        Some(
            "parameter `w`: its view ends in half a word, and its buffer of 6 bytes with it; GPUs access whole words, so make the buffer 8 bytes long"
        )
    );
    assert_eq!(error(View::bf16(&odd).range(0..2)), None);
    let used = Group::sgd(0.1).state_format(Format::F16);
    let refused = optimizer.set_group(group, used).map_err(|e| e.to_string()).err();
    assert_eq!(
        refused.as_deref(),
        Some(
            "group 0: its parameters' state is f32, the new options keep it in f16; parameters keep their state, so add a group for the new options and new parameters to it"
        )
    );
}
