//! The cases that are verified: every rule, and everything else there is with some rule.

use super::groups;
use crate::control::{Control, LossScale, Norm};
use crate::group::Group;
use crate::kernel::all_formats;
use crate::num::{Format, Master};
use crate::rule::slot_names;

/// A group, how its numbers are stored, and what else a step does.
#[derive(Clone, Debug)]
pub struct Case {
    /// A rule with its options; it says how the state is stored.
    pub group: Group,
    /// How parameters are stored.
    pub param: Format,
    /// How their gradients are.
    pub grad: Format,
    /// How copies of f32 parameters are, if there are any.
    pub copy: Option<Format>,
    /// The treatment of gradients; with `skip_nonfinite` some are Inf.
    pub control: Control,
    /// Gradients that are added up for most steps; 0: none are.
    pub accumulate: u32,
}

impl Case {
    /// In f32, and nothing else.
    pub fn new(group: Group) -> Self {
        let (param, grad) = (Format::F32, Format::F32);
        Self { group, param, grad, copy: None, control: Control::default(), accumulate: 0 }
    }

    /// Whether only the rule counts.
    fn is_plain(&self) -> bool {
        let Self { group, copy, control, accumulate, .. } = self;
        let alone = group.ema.is_none() && copy.is_none() && *accumulate == 0;
        alone && self.formats() == [Format::F32; 3] && *control == Control::default()
    }

    fn formats(&self) -> [Format; 3] {
        [self.param, self.grad, self.group.state_format]
    }

    /// The number that a parameter is rounded from.
    pub(super) fn master(&self) -> Master {
        self.group.master.of("", self.param).unwrap_or_default()
    }

    /// Steps of each layout: many small views for long, one past 65 536 elements for short. What is not
    /// the rule's shows in a few.
    pub(super) fn steps(&self) -> [u64; 2] {
        if self.is_plain() { [150, 6] } else { [30, 2] }
    }

    /// The names of the numbers that are compared.
    pub(super) fn compared(&self) -> impl Iterator<Item = &'static str> {
        let beside = [("ema", self.group.ema.is_some()), ("copy", self.copy.is_some())];
        let beside = beside.into_iter().filter(|(_, is)| *is).map(|(what, _)| what);
        std::iter::once("param").chain(slot_names(&*self.group.rule)).chain(beside)
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
        add("l2-decay", group.weight_decay != 0.0 && !group.decoupled);
        add("maximize", group.maximize);
        let formats = self.formats();
        formats.iter().for_each(|format| add(format.name(), formats != [Format::F32; 3]));
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

/// Every row of [`verify`](super::verify): each group in f32, then every combination of formats, each with
/// another group, then everything else a step can do, each with some. Kernels are joined of files that know
/// nothing of each other, so that these cover the rest.
pub fn cases() -> Vec<Case> {
    let groups = groups();
    let others = all_formats().zip(groups.iter().cycle()).skip(1);
    let formats = others.map(|([param, grad, state], group)| {
        let group = group.clone().state_format(state);
        Case { param, grad, ..Case::new(group) }
    });
    let besides = besides().into_iter().zip(groups.iter().cycle());
    let besides = besides.map(|(change, group)| change(Case::new(group.clone())));
    groups.iter().cloned().map(Case::new).chain(formats).chain(besides).collect()
}

type Change = fn(Case) -> Case;

/// The options of a step beside the rule, alone and together.
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
