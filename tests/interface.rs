//! The interface's conveniences: each does what the calls do that it stands for.

use support::{bits, gpu, ok};
use wgpu_optim::headless::Gpu;
use wgpu_optim::{Adam, Control, Error, Format, Group, Optimizer, ParamId, View};

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Optimizer>();
    is_send_and_sync::<Group>();
    is_send_and_sync::<Error>();
};

struct Two {
    optimizer: Optimizer,
    ids: [ParamId; 2],
    views: [View; 4],
}

impl Two {
    /// Two parameters of one group, whose gradients are none at first if they are frozen otherwise.
    fn new(gpu: &Gpu, control: Control) -> Self {
        let upload = |numbers: &[f32]| View::f32(&ok(gpu.upload("numbers", numbers)));
        let views = [
            upload(&[1.0, -2.0, 3.0, 0.5, 9.0]),
            upload(&[0.25, -0.5, 1.0, 2.0, -4.0]),
            upload(&[-1.0, 4.0, 0.125]),
            upload(&[8.0, -3.0, 0.5]),
        ];
        let mut optimizer = Optimizer::new(&gpu.device);
        ok(optimizer.set_control(control));
        let group = ok(optimizer.add_group(Group::adam(0.125).ema(0.5)));
        let [p, g, q, h] = views.clone();
        let ids =
            [ok(optimizer.add_param(group, "p", p, g)), ok(optimizer.add_param(group, "q", q, h))];
        Self { optimizer, ids, views }
    }

    /// Parameters and everything that is kept of them, as bits.
    fn bits(&mut self, gpu: &Gpu) -> Vec<Vec<u32>> {
        let mut all = vec![bits(gpu, &self.views[0]), bits(gpu, &self.views[2])];
        for name in ["p", "q"] {
            for slot in ["exp_avg", "exp_avg_sq"] {
                all.push(bits(gpu, &ok(self.optimizer.state(name, slot))));
            }
            all.push(bits(
                gpu,
                &ok(self.optimizer.ema(name)).unwrap_or_else(|| panic!("no average")),
            ));
        }
        all
    }
}

/// Freezing is to have no gradient, and unfreezing to have the old one, or the one given meanwhile.
#[test]
fn a_frozen_parameter_has_no_gradient() {
    let gpu = gpu();
    let controls = [
        Control::default(),
        Control { clip_norm: Some(0.5), ..Control::default() },
        Control { skip_nonfinite: true, clip_norm: Some(2.0), ..Control::default() },
    ];
    for control in controls {
        for moves in [false, true] {
            let [mut frozen, mut absent] = [Two::new(gpu, control), Two::new(gpu, control)];
            let other = View::f32(&ok(gpu.upload("another gradient", &[0.5, 0.25, -8.0])));
            for t in 0..8 {
                if t == 2 {
                    ok(frozen.optimizer.freeze(frozen.ids[1]));
                    assert!(ok(frozen.optimizer.is_frozen(frozen.ids[1])));
                    ok(absent.optimizer.set_grads([(absent.ids[1], None)]));
                }
                if t == 3 && moves {
                    ok(frozen.optimizer.set_grad(frozen.ids[1], other.clone()));
                }
                if t == 5 {
                    ok(frozen.optimizer.unfreeze(frozen.ids[1]));
                    let back = if moves { other.clone() } else { absent.views[3].clone() };
                    ok(absent.optimizer.set_grad(absent.ids[1], back));
                }
                let before = bits(gpu, &frozen.views[2]);
                gpu.step(&mut frozen.optimizer);
                gpu.step(&mut absent.optimizer);
                assert_eq!(before == bits(gpu, &frozen.views[2]), (2..5).contains(&t), "step {t}");
                assert!(frozen.optimizer.is_up_to_date());
            }
            assert_eq!(frozen.bits(gpu), absent.bits(gpu), "{control:?}, moves: {moves}");
        }
    }
}

/// A gradient in the way of a parameter that was added meanwhile is found when the parameter is unfrozen.
#[test]
fn unfreezing_checks_the_gradient() {
    let gpu = gpu();
    let mut two = Two::new(gpu, Control::default());
    ok(two.optimizer.freeze(two.ids[1]));
    let group = ok(two.optimizer.group_of(two.ids[1]));
    let free = View::f32(&ok(gpu.upload("free", &[0.0; 3])));
    ok(two.optimizer.add_param(group, "r", two.views[3].clone(), free));
    let refused = two.optimizer.unfreeze(two.ids[1]);
    assert!(matches!(refused, Err(Error::Overlap { .. })), "{refused:?}");
    assert!(ok(two.optimizer.is_frozen(two.ids[1])));
}

/// One group's rate changes, and the other's does not.
#[test]
fn groups_change_one_by_one() {
    let gpu = gpu();
    let mut optimizer = Optimizer::new(&gpu.device);
    let one = ok(optimizer.add_group(Group::sgd(0.5)));
    let two = ok(optimizer.add_group(Group::new(0.25, Adam::pytorch()).ema(0.5)));
    ok(optimizer.set_group_lr(one, 2.0));
    assert_eq!(
        optimizer.set_group_lr(two, f64::NAN).map_err(|e| e.to_string()).err().as_deref(),
        Some("the learning rate is NaN; it must be a finite f32 number, 0 or more")
    );
    ok(optimizer
        .update_group(two, |group| group.ema(None).stochastic_rounding(7).weight_decay(0.5)));
    assert!(optimizer.update_group(two, |group| group.weight_decay(-1.0)).is_err());
    let found: Vec<_> = (optimizer.groups())
        .map(|(id, group)| (id, group.lr, group.weight_decay, group.ema, group.stochastic_rounding))
        .collect();
    assert_eq!(found, [(one, 2.0, 0.0, None, None), (two, 0.25, 0.5, None, Some(7))]);
}

/// Parameters are listed in order, and what they cost is counted.
#[test]
fn parameters_are_listed_and_counted() {
    let gpu = gpu();
    let mut two = Two::new(gpu, Control::default());
    let optimizer = &mut two.optimizer;
    let listed: Vec<_> = optimizer.params().map(|(id, name, view)| (id, name, view.len)).collect();
    assert_eq!(listed, [(two.ids[0], "p", 5), (two.ids[1], "q", 3)]);
    assert_eq!((optimizer.len(), optimizer.is_empty()), (2, false));
    assert_eq!(optimizer.param("q"), Some(two.ids[1]));
    assert_eq!(optimizer.memory_bytes(), 0, "before the first step");
    ok(optimizer.prepare());
    // Two slots and an average in f32; parameters of two buffers lie in two slabs.
    assert_eq!(optimizer.memory_bytes(), 3 * 4 * (5 + 3));
    // The parameter, two slots and an average there and back, and the gradient.
    assert_eq!(optimizer.bytes_per_step(), (4 * 8 + 4) * (5 + 3));
    ok(optimizer.freeze(two.ids[0]));
    assert_eq!(optimizer.bytes_per_step(), (4 * 8 + 4) * 3);
    assert_eq!(Format::F32.bytes(), 4);
}
