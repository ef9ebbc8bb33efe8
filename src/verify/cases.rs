//! This module lists the cases of a verification: every rule, and every other choice with some rule.

use super::groups;
use crate::control::{Control, LossScale, Norm};
use crate::group::Group;
use crate::kernel::all_formats;
use crate::num::{Format, Master, StateFormats};
use crate::rule::slot_names;
use crate::schedule::{Schedule, Target};

/// A group, the formats of its numbers, and the other options of a step.
#[derive(Clone, Debug)]
pub struct Case {
    /// The rule with its options, and the format of the state.
    pub group: Group,
    /// The format of parameters.
    pub param: Format,
    /// The format of gradients.
    pub grad: Format,
    /// The format of copies of f32 parameters, if there are any.
    pub copy: Option<Format>,
    /// The treatment of gradients. With `skip_nonfinite`, some gradients are Inf.
    pub control: Control,
    /// The number of gradients that most steps add up; 0 if steps add up none.
    pub accumulate: u32,
}

impl Case {
    /// A case in f32 without any other option.
    pub fn new(group: Group) -> Self {
        let (param, grad) = (Format::F32, Format::F32);
        Self { group, param, grad, copy: None, control: Control::default(), accumulate: 0 }
    }

    /// Whether the case has no option besides the rule.
    fn is_plain(&self) -> bool {
        let Self { group, copy, control, accumulate, .. } = self;
        let alone = group.ema.is_none() && copy.is_none() && *accumulate == 0;
        alone
            && self.formats().iter().all(|format| *format == StateFormats::default())
            && *control == Control::default()
    }

    /// The formats of parameters, gradients and state.
    fn formats(&self) -> [StateFormats; 3] {
        [self.param.into(), self.grad.into(), self.group.state_format.clone()]
    }

    /// The master from which parameters are rounded.
    pub(super) fn master(&self) -> Master {
        self.group.master.of("", self.param).unwrap_or_default()
    }

    /// The number of steps for each layout: many for the small views, few for the view past 65 536 elements. Options
    /// besides the rule show within a few steps.
    pub(super) fn steps(&self) -> [u64; 2] {
        if self.is_plain() { [150, 6] } else { [30, 2] }
    }

    /// The names of the numbers that are compared.
    pub(super) fn compared(&self) -> impl Iterator<Item = &'static str> {
        let beside = [("ema", self.group.ema.is_some()), ("copy", self.copy.is_some())];
        let beside = beside.into_iter().filter(|(_, is)| *is).map(|(what, _)| what);
        std::iter::once("param").chain(slot_names(&*self.group.rule)).chain(beside)
    }

    /// The storage buffers that a step binds: the chunks of a launch, parameters, gradients, slots, and all beside.
    pub fn storage_buffers(&self) -> usize {
        let kept = [self.master() != Master::None, self.group.ema.is_some(), self.copy.is_some()];
        3 + slot_names(&*self.group.rule).len() + kept.into_iter().filter(|is| *is).count()
    }

    /// Whether WebGPU's default limits are enough for a step.
    pub fn fits_default_limits(&self) -> bool {
        let limits = wgpu::Limits::default();
        self.storage_buffers() <= limits.max_storage_buffers_per_shader_stage as usize
    }

    /// The rule and what distinguishes the case, in a few words.
    pub(super) fn label(&self) -> String {
        let Self { group, copy, control, accumulate, .. } = self;
        let mut label = group.rule.name().to_owned();
        let mut add = |word: &str, is: bool| {
            if is {
                label += &format!(" {word}");
            }
        };
        for (switch, on) in group.rule.switches() {
            add(&switch.to_lowercase(), on);
        }
        add("decoupled-decay", group.weight_decay != 0.0 && group.decoupled);
        add("cautious", group.cautious_weight_decay);
        add("scheduled", !group.schedules.is_empty());
        add("l2-decay", group.weight_decay != 0.0 && !group.decoupled);
        add("maximize", group.maximize);
        let formats = self.formats();
        let plain = formats.iter().all(|format| *format == StateFormats::default());
        formats.iter().for_each(|format| add(&format.to_string(), !plain));
        add("random-codes", group.stochastic_state.is_some());
        add("remainder", self.master() == Master::Remainder);
        add("master", self.master() == Master::F32);
        add("stochastic", group.stochastic_rounding.is_some());
        add("ema", group.ema.is_some());
        add(&format!("{}-copy", copy.unwrap_or_default().name()), copy.is_some());
        add("clip-value", control.clip_value.is_some());
        let of_largest = if control.norm == Norm::Largest { "-largest" } else { "" };
        add(&format!("clip-norm{of_largest}"), control.clip_norm.is_some());
        add("loss-scale", control.loss_scale != LossScale::Fixed(1.0));
        add("skip", control.skips());
        add(&format!("accumulate-{accumulate}"), *accumulate > 0);
        add("zero-grad", control.zero_grad);
        label
    }
}

/// Lists the rows of [`verify`](super::verify): each group in f32, then every combination of formats, each with
/// another group, then every other option of a step, each with some group. Kernels are joined of files that do not
/// depend on each other, so these rows run every file, but not every combination.
pub fn cases() -> Vec<Case> {
    let groups = groups();
    let others = all_formats().zip(groups.iter().cycle()).skip(1);
    let formats = others.map(|([param, grad, state], group)| {
        let group = group.clone().state_format(state);
        Case { param, grad, ..Case::new(group) }
    });
    // A rule with four slots leaves no room for two more operands, so the next rule has them.
    let mut turn = groups.iter().cycle();
    let besides = besides().into_iter().filter_map(|change| {
        let mut changed = turn.by_ref().map(|group| change(Case::new(group.clone())));
        changed.find(Case::fits_default_limits)
    });
    groups.iter().cloned().map(Case::new).chain(formats).chain(besides).collect()
}

pub(super) type Change = fn(Case) -> Case;

/// The options of a step besides the rule, alone and together.
fn besides() -> Vec<Change> {
    const F16: Format = Format::F16;
    const BF16: Format = Format::Bf16;
    fn stored(case: Case, format: Format) -> Case {
        Case { param: format, grad: format, ..case }
    }
    fn group(case: Case, change: impl Fn(Group) -> Group) -> Case {
        Case { group: change(case.group), ..case }
    }
    fn control(case: Case, change: impl Fn(Control) -> Control) -> Case {
        Case { control: change(case.control), ..case }
    }
    fn dynamic(case: Case) -> Case {
        let loss_scale = LossScale::Dynamic { init: 64.0, growth: 2.0, backoff: 0.5, interval: 3 };
        control(case, |c| Control { loss_scale, skip_nonfinite: true, ..c })
    }
    vec![
        |case| group(stored(case, BF16), |g| g.master(Master::Remainder)),
        |case| group(stored(case, F16), |g| g.master(Master::F32)),
        |case| group(stored(case, BF16), |g| g.master(Master::F32).state_format(BF16)),
        |case| group(stored(case, BF16), |g| g.stochastic_rounding(11)),
        |case| group(stored(case, F16), |g| g.stochastic_rounding(12)),
        |case| group(case, |g| g.ema(0.9)),
        |case| group(stored(case, F16), |g| g.ema(0.99)),
        |case| group(stored(case, BF16), |g| g.master(Master::Remainder).ema(0.9)),
        |case| Case { copy: Some(BF16), ..case },
        |case| group(Case { copy: Some(F16), ..case }, |g| g.ema(0.999)),
        |case| control(case, |c| Control { clip_norm: Some(2.0), ..c }),
        |case| control(case, |c| Control { clip_norm: Some(0.5), norm: Norm::Largest, ..c }),
        |case| control(case, |c| Control { clip_value: Some(0.125), ..c }),
        |case| control(case, |c| Control { skip_nonfinite: true, ..c }),
        |case| dynamic(case),
        |case| {
            control(dynamic(stored(case, F16)), |c| Control {
                clip_value: Some(3.0),
                clip_norm: Some(2.0),
                ..c
            })
        },
        |case| group(case, |g| g.schedule(Target::Lr, Schedule::cosine(1e-2, 1e-4, 3))),
        |case| {
            let lr = Schedule::warmup(2, 0.0, Schedule::exponential(1e-2, 0.5));
            let decay = Schedule::linear(0.1, 0.0, 4);
            group(dynamic(case), |g| {
                g.schedule(Target::Lr, lr.clone()).schedule(Target::WeightDecay, decay.clone())
            })
        },
        |case| Case { accumulate: 3, ..case },
        |case| Case { accumulate: 2, ..stored(case, BF16) },
        |case| control(case, |c| Control { zero_grad: true, ..c }),
        |case| control(stored(case, F16), |c| Control { zero_grad: true, ..c }),
        |case| {
            let all = Case { accumulate: 4, copy: Some(BF16), ..dynamic(case) };
            let all = group(all, |g| g.ema(0.9));
            control(all, |c| Control { clip_norm: Some(1.0), zero_grad: true, ..c })
        },
        |case| {
            let all = Case { accumulate: 3, ..stored(dynamic(case), BF16) };
            let all = group(all, |g| g.master(Master::Remainder).ema(0.9).state_format(BF16));
            control(all, |c| Control { clip_value: Some(1.0), zero_grad: true, ..c })
        },
    ]
}
