//! The interface's conveniences: each does what the calls do that it stands for.

use support::ByName;
use support::{bits, gpu, ok, set, stats};
use wgpu_optim::headless::Gpu;
#[cfg(feature = "serde")]
use wgpu_optim::{Accumulation, LossScale, Norm};
use wgpu_optim::{
    Adam, Control, Error, Format, Group, GroupId, Master, Optimizer, ParamId, RmsProp, View,
};

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
                all.push(bits(gpu, &ok(self.optimizer.state_of(name, slot))));
            }
            all.push(bits(
                gpu,
                &ok(self.optimizer.ema_of(name)).unwrap_or_else(|| panic!("no average")),
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

/// Groups are equal if every option of theirs is.
#[test]
fn groups_are_compared_by_their_options() {
    let same = || Group::new(0.5, Adam::pytorch()).weight_decay(0.25);
    assert_eq!(same(), same());
    let others = [
        Group::new(0.5, Adam::keras()).weight_decay(0.25),
        Group::new(0.5, RmsProp::pytorch()).weight_decay(0.25),
        same().lr(0.25),
        same().decoupled(true),
        same().maximize(true),
        same().ema(0.5),
        same().stochastic_rounding(1),
        same().master(Master::F32),
        same().state_format(Format::Bf16),
    ];
    others.into_iter().for_each(|other| assert_ne!(same(), other));
    assert_eq!(Format::ALL.map(|format| format.to_string()), Format::ALL.map(Format::name));
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
    assert_eq!(optimizer.param("q"), Ok(two.ids[1]));
    assert_eq!(optimizer.memory_bytes(), 0, "before the first step");
    let early = optimizer.state(two.ids[0], "exp_avg").map_err(|e| e.to_string()).err();
    let says = "parameter `p`: its state has no memory yet; call `Optimizer::prepare` or record a step first";
    assert_eq!(early.as_deref(), Some(says));
    ok(optimizer.prepare());
    // Two slots and an average in f32; parameters of two buffers lie in two slabs.
    assert_eq!(optimizer.memory_bytes(), 3 * 4 * (5 + 3));
    // The parameter, two slots and an average there and back, and the gradient.
    assert_eq!(optimizer.bytes_per_step(), (4 * 8 + 4) * (5 + 3));
    ok(optimizer.freeze(two.ids[0]));
    assert_eq!(optimizer.bytes_per_step(), (4 * 8 + 4) * 3);
    assert_eq!(Format::F32.bytes(), 4);
}

/// Parameters of one arena, three steps of all of them, and how each goes on.
struct Arena {
    optimizer: Optimizer,
    group: GroupId,
    ids: Vec<ParamId>,
    params: Vec<View>,
    grads: Vec<View>,
}

impl Arena {
    const LENS: [u64; 4] = [7, 5, 13, 3];

    fn new(gpu: &Gpu, control: Control, group: Group, format: Format) -> Self {
        let len = Self::LENS.iter().sum::<u64>();
        let numbers: Vec<f32> = (0..len).map(|i| (i as f32 - 11.0) / 8.0).collect();
        let slopes: Vec<f32> = (0..len).map(|i| (i as f32 * 5.0) % 7.0 - 3.25).collect();
        let params = ok(gpu.upload("params", &numbers));
        if format != Format::F32 {
            set(gpu, &View::whole(&params, format).range(0..len), &numbers);
        }
        let grads = ok(gpu.upload("grads", &slopes));
        let mut optimizer = Optimizer::new(&gpu.device);
        ok(optimizer.set_control(control));
        let group = ok(optimizer.add_group(group));
        let (mut start, mut all) = (0, Vec::new());
        for len in Self::LENS {
            let range = start..start + len;
            start += len;
            all.push((
                View::whole(&params, format).range(range.clone()),
                View::f32(&grads).range(range),
            ));
        }
        let ids = (all.iter().enumerate())
            .map(|(i, (p, g))| ok(optimizer.add_param(group, &i.to_string(), p.clone(), g.clone())))
            .collect();
        let (params, grads) = all.into_iter().unzip();
        Self { optimizer, group, ids, params, grads }
    }

    fn steps(&mut self, gpu: &Gpu, steps: u32) {
        (0..steps).for_each(|_| gpu.step(&mut self.optimizer));
    }

    /// All that there is of a parameter, as bits.
    fn bits(&self, gpu: &Gpu, i: usize) -> Vec<Vec<u32>> {
        let id = self.ids[i];
        let slots = ["exp_avg", "exp_avg_sq"].map(|slot| ok(self.optimizer.state(id, slot)));
        let others = [ok(self.optimizer.ema(id)), ok(self.optimizer.master(id))];
        let views = std::iter::once(self.params[i].clone()).chain(slots);
        views.chain(others.into_iter().flatten()).map(|view| bits(gpu, &view)).collect()
    }
}

fn controls() -> [Control; 3] {
    [
        Control::default(),
        Control { clip_norm: Some(0.5), ..Control::default() },
        Control { skip_nonfinite: true, clip_norm: Some(0.25), ..Control::default() },
    ]
}

/// Removing a parameter is to let it have no gradient for ever, for it and for the others.
#[test]
fn a_removed_parameter_takes_no_steps() {
    let gpu = gpu();
    for control in controls() {
        for gone in 0..Arena::LENS.len() {
            let new = || Arena::new(gpu, control, Group::adam(0.125).ema(0.5), Format::F32);
            let [mut removed, mut absent] = [new(), new()];
            removed.steps(gpu, 3);
            absent.steps(gpu, 3);
            let memory = removed.optimizer.memory_bytes();
            ok(removed.optimizer.remove_param(removed.ids[gone]));
            ok(absent.optimizer.set_grads([(absent.ids[gone], None)]));
            removed.steps(gpu, 3);
            absent.steps(gpu, 3);
            assert!(removed.optimizer.is_up_to_date());
            assert_eq!(bits(gpu, &removed.params[gone]), bits(gpu, &absent.params[gone]));
            for i in (0..Arena::LENS.len()).filter(|i| *i != gone) {
                assert_eq!(removed.bits(gpu, i), absent.bits(gpu, i), "{i} without {gone}");
            }
            let refused = removed.optimizer.freeze(removed.ids[gone]);
            assert!(matches!(refused, Err(Error::UnknownParam { .. })), "{refused:?}");
            // Name and ranges are free, and the same parameter begins anew.
            let (name, place) = (gone.to_string(), removed.params[gone].clone());
            let grad = removed.grads[gone].clone();
            let before = bits(gpu, &place);
            removed.ids[gone] = ok(removed.optimizer.add_param(removed.group, &name, place, grad));
            removed.steps(gpu, 2);
            assert!(removed.optimizer.is_up_to_date());
            assert_ne!(before, bits(gpu, &removed.params[gone]));
            for i in 0..Arena::LENS.len() {
                ok(removed.optimizer.remove_param(removed.ids[i]));
            }
            assert!(removed.optimizer.is_empty());
            removed.steps(gpu, 1);
            assert!(removed.optimizer.memory_bytes() < memory, "state is freed");
        }
    }
}

/// Statistics name the parameter that was meant when the step was recorded, and nobody if that has been removed.
#[test]
fn statistics_name_the_right_parameter_after_a_removal() {
    let gpu = gpu();
    let control = Control { skip_nonfinite: true, ..Control::default() };
    for (bad, gone, named) in [(2, 0, Some("2")), (2, 3, Some("2")), (1, 1, None)] {
        let mut arena = Arena::new(gpu, control, Group::adam(0.125), Format::F32);
        arena.steps(gpu, 1);
        set(gpu, &arena.grads[bad].clone().range(0..1), &[f32::NAN]);
        arena.steps(gpu, 1);
        ok(arena.optimizer.remove_param(arena.ids[gone]));
        let found = stats(gpu, &arena.optimizer);
        assert_eq!(found.nonfinite.as_deref(), named, "{gone} removed");
        arena.steps(gpu, 1);
        let found = stats(gpu, &arena.optimizer);
        assert_eq!(found.nonfinite.as_deref(), named, "{gone} removed before the step");
    }
}

/// A parameter whose state is reset goes on as one that is added then, with the same value and master.
#[test]
fn reset_state_begins_anew() {
    let gpu = gpu();
    let group = |master| Group::adam(0.0625).ema(0.5).master(master);
    for control in controls() {
        for (format, master) in [
            (Format::F32, Master::None),
            (Format::Bf16, Master::Remainder),
            (Format::F16, Master::F32),
        ] {
            for reset in 0..Arena::LENS.len() {
                let mut arena = Arena::new(gpu, control, group(master), format);
                arena.steps(gpu, 3);
                let master_before = ok(arena.optimizer.master(arena.ids[reset]));
                let low = master_before.map(|view| bits(gpu, &view));
                let before = bits(gpu, &arena.params[reset]);
                let mut encoder = gpu.device.create_command_encoder(&Default::default());
                ok(arena.optimizer.reset_state(&mut encoder, arena.ids[reset]));
                gpu.queue.submit([encoder.finish()]);
                let slots = ["exp_avg", "exp_avg_sq"];
                let zero = vec![0_u32; Arena::LENS[reset] as usize];
                for slot in slots {
                    let view = ok(arena.optimizer.state(arena.ids[reset], slot));
                    assert_eq!(bits(gpu, &view), zero, "{slot}");
                }
                let master_after = ok(arena.optimizer.master(arena.ids[reset]));
                assert_eq!(master_after.map(|view| bits(gpu, &view)), low);
                assert_eq!(bits(gpu, &arena.params[reset]), before);
                gpu.step(&mut arena.optimizer);
                assert!(arena.optimizer.is_up_to_date());
                // The first step of ADAM goes lr · g / |g| far, and the average of one number is that number.
                let bound = if format == Format::F32 { 1e-5 } else { 0.02 };
                let [old, new] = [before, bits(gpu, &arena.params[reset])];
                if format == Format::F32 {
                    for (old, new) in old.iter().zip(&new) {
                        let way = (f32::from_bits(*old) - f32::from_bits(*new)).abs();
                        assert!((way - 0.0625).abs() < bound, "{way}");
                    }
                    let average = ok(arena.optimizer.ema(arena.ids[reset]));
                    assert_eq!(average.map(|view| bits(gpu, &view)), Some(new));
                }
                // The others are where they are without a reset.
                let mut other = Arena::new(gpu, control, group(master), format);
                other.steps(gpu, 4);
                for i in (0..Arena::LENS.len()).filter(|i| *i != reset) {
                    assert_eq!(arena.bits(gpu, i), other.bits(gpu, i));
                }
            }
        }
    }
}

/// Options come back from JSON as they were, and what is left out has its default.
#[cfg(feature = "serde")]
#[test]
fn options_go_to_json_and_back() {
    let control = Control {
        clip_norm: Some(0.5),
        loss_scale: LossScale::dynamic(),
        accumulation: Accumulation::Sum,
        norm: Norm::Largest,
        ..Control::default()
    };
    let text = ok(serde_json::to_string(&control));
    assert_eq!(ok(serde_json::from_str::<Control>(&text)), control);
    assert_eq!(ok(serde_json::from_str::<Control>("{}")), Control::default());
    for format in Format::ALL {
        assert_eq!(ok(serde_json::to_string(&format)), format!("\"{format}\""));
    }
    assert_eq!(ok(serde_json::from_str::<Master>("\"remainder\"")), Master::Remainder);
}
