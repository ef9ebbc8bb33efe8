//! What comes of NaN and of infinity: nothing hides a NaN, and nothing finite becomes one.

mod common;

use common::{gpu, ok, read};
use wgpu_optim::verify::groups;
use wgpu_optim::{Group, Optimizer, View};

/// The parameter and every slot after each of these gradients in turn, for four elements alike.
fn after(group: &Group, grads: &[f32]) -> Vec<Vec<f32>> {
    let gpu = gpu();
    let (w, g) = (ok(gpu.upload("w", &[1.0; 4])), ok(gpu.zeros("g", 4)));
    let mut optimizer = Optimizer::new(&gpu.device);
    let id = ok(optimizer.add_group(group.clone()));
    ok(optimizer.add_param(id, "w", View::f32(&w), View::f32(&g)));
    let mut all = Vec::new();
    for grad in grads {
        gpu.queue.write_buffer(&g, 0, bytemuck::cast_slice(&[*grad; 4]));
        gpu.step(&mut optimizer);
        let mut now = vec![read(gpu, &View::f32(&w))[0]];
        for slot in group.rule.slots().iter().map(|slot| slot.name) {
            now.push(read(gpu, &ok(optimizer.state("w", slot)))[0]);
        }
        all.push(now);
    }
    all
}

#[test]
fn a_nan_stays_in_the_parameter_and_in_every_slot() {
    for group in groups() {
        for now in after(&group, &[0.5, f32::NAN, 0.5, 0.25]).iter().skip(1) {
            assert!(now.iter().all(|x| x.is_nan()), "{group:?}: {now:?}");
        }
    }
}

#[test]
fn a_gradient_whose_square_overflows_makes_nothing_nan() {
    for group in groups() {
        // Averages become infinite and stay so, as in other implementations; a step is then 0. But
        // where nothing is kept of the old average, 0 · ∞ is NaN, there as here.
        let group = group.weight_decay(0.0);
        if format!("{group:?}").contains("alpha: 0.0") {
            continue;
        }
        for now in after(&group, &[0.5, 1e21, 0.5, 0.25, -1.0]) {
            assert!(now.iter().all(|x| !x.is_nan()), "{group:?}: {now:?}");
            assert!(now[0].is_finite(), "{group:?}: {now:?}");
        }
    }
}
