//! Programs: calls as plain values, and how they come about by chance.

use std::fmt;

use proptest::prelude::*;
use proptest::sample::select;
use wgpu_optim::{Accumulation, Control, Format, LossScale, Norm};

use super::rule::{Rule, Spec};

/// Calls in order. Numbers of groups and parameters count modulo how many there are; a call without
/// something that it needs does nothing.
#[derive(Clone)]
pub(crate) struct Program(pub(crate) Vec<Call>);

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} calls:", self.0.len())?;
        self.0.iter().enumerate().try_for_each(|(i, call)| writeln!(f, "{i:4} {call:?}"))
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Call {
    AddGroup(Spec),
    AddParam {
        group: u16,
        len: u16,
        home: Home,
        grad: Grad,
    },
    SetGroup {
        group: u8,
        spec: Spec,
    },
    SetLr(f64),
    SetControl(Control),
    SetGrad {
        param: u8,
        to: Grad,
    },
    SetGrads(Vec<(u8, To)>),
    SetCopy {
        param: u8,
        to: Option<(Format, Home)>,
    },
    /// Writes gradients, if any are given, and adds them up.
    Accumulate(Option<Fill>),
    /// Writes gradients, if any are given, and steps.
    Step(Option<Fill>),
    Prepare,
    Stats,
    Submit,
    /// Drops what was recorded since the last submission.
    Drop,
    /// A call that must be refused.
    Wrong {
        what: Wrong,
        param: u8,
    },
}

/// Where numbers lie.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Home {
    /// In a buffer of their own, so many elements in.
    Own(u8),
    /// In an arena of their kind, so many elements behind what is there.
    Arena(u8),
    /// In an arena of parameters and gradients.
    Mixed(u8),
    /// Where a gradient lay that has moved: which, and how many elements in. If it fits, else in an arena.
    Old(u8, u8),
    /// Gradients only: in another's. If it fits, else in an arena.
    Shared(u8),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Grad {
    pub(crate) format: Format,
    pub(crate) home: Home,
}

/// Where a gradient moves together with others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum To {
    Place(Grad),
    /// Where another's is, which gets this one's place. If they are as long.
    Swap(u8),
    Nothing,
}

/// Numbers for all gradients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill {
    pub(crate) seed: u16,
    pub(crate) size: f32,
    pub(crate) bad: Option<Bad>,
}

/// A number that is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bad {
    pub(crate) param: u8,
    pub(crate) element: u16,
    pub(crate) number: f32,
    /// Also where no step is skipped for it.
    pub(crate) always: bool,
}

/// Calls that are errors.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wrong {
    SameName,
    OtherLength,
    PastEnd,
    Unaligned,
    Empty,
    ForeignGroup,
    ParamOnParam,
    ParamOnGrad,
    ParamOnItself,
    OwnState,
    OwnScale,
    GradOnParam,
    GradLength,
    ForeignParam,
    OneOfSeveral,
    CopyFormat,
    CopyLength,
    CopyOnParam,
    Rate,
    GroupRate,
    Slots,
    Control,
}

pub(crate) const WRONGS: [Wrong; 22] = [
    Wrong::SameName,
    Wrong::OtherLength,
    Wrong::PastEnd,
    Wrong::Unaligned,
    Wrong::Empty,
    Wrong::ForeignGroup,
    Wrong::ParamOnParam,
    Wrong::ParamOnGrad,
    Wrong::ParamOnItself,
    Wrong::OwnState,
    Wrong::OwnScale,
    Wrong::GradOnParam,
    Wrong::GradLength,
    Wrong::ForeignParam,
    Wrong::OneOfSeveral,
    Wrong::CopyFormat,
    Wrong::CopyLength,
    Wrong::CopyOnParam,
    Wrong::Rate,
    Wrong::GroupRate,
    Wrong::Slots,
    Wrong::Control,
];

fn rule() -> impl Strategy<Value = Rule> {
    let sgd = (select(vec![0.0, 0.9, 0.5]), select(vec![0.0, 0.5]), any::<bool>());
    let sgd = sgd.prop_map(|(momentum, dampening, nesterov)| {
        let nesterov = nesterov && momentum > 0.0 && dampening == 0.0;
        Rule::Sgd { momentum, dampening, nesterov }
    });
    // ε is large, so that a gradient near 0 says something.
    let eps = || select(vec![1e-2, 1e-1]);
    let root = || select(vec![1e-4, 1e-2]);
    let betas = (select(vec![0.9, 0.5]), select(vec![0.99, 0.9, 0.999]));
    let adam = (betas, eps(), root(), any::<bool>());
    let adam = adam.prop_map(|((beta1, beta2), eps, eps_root, amsgrad)| Rule::Adam {
        betas: [beta1, beta2],
        eps,
        eps_root,
        amsgrad,
    });
    let rms = (select(vec![0.9, 0.99]), eps(), root(), select(vec![0.0, 0.9]), any::<bool>());
    let rms = rms.prop_map(|(alpha, eps, eps_root, momentum, centered)| Rule::RmsProp {
        alpha,
        eps,
        eps_root,
        momentum,
        centered,
    });
    let adagrad = (select(vec![0.0, 0.1]), eps(), root());
    let adagrad =
        adagrad.prop_map(|(lr_decay, eps, eps_root)| Rule::Adagrad { lr_decay, eps, eps_root });
    prop_oneof![3 => sgd, 4 => adam, 2 => rms, 2 => adagrad]
}

fn spec() -> impl Strategy<Value = Spec> {
    let rate = select(vec![1e-2, 0.1, 1e-3, 0.0]);
    let decay = prop_oneof![1 => Just(0.0), 1 => select(vec![0.1, 0.01])];
    let ema = prop_oneof![2 => Just(None), 1 => select(vec![0.9, 0.99, 0.5]).prop_map(Some)];
    let all = (rule(), rate, decay, any::<bool>(), any::<bool>(), ema);
    all.prop_map(|(rule, lr, decay, decoupled, maximize, ema)| Spec {
        rule,
        lr,
        decay,
        decoupled,
        maximize,
        ema,
    })
}

fn control() -> impl Strategy<Value = Control> {
    let clip_norm =
        prop_oneof![3 => Just(None), 3 => select(vec![2.0, 0.5, 20.0, 1e30, 0.0]).prop_map(Some)];
    let norm = prop_oneof![3 => Just(Norm::Euclidean), 1 => Just(Norm::Largest)];
    let clip_value = prop_oneof![3 => Just(None), 1 => select(vec![0.5, 1.5]).prop_map(Some)];
    let fixed = select(vec![1.0, 8.0, 0.25, 3.0]).prop_map(LossScale::Fixed);
    let growths = (select(vec![2.0, 1.5]), select(vec![0.5, 0.25]), 1_u32..4);
    let dynamic = (select(vec![8.0, 1.0, 64.0]), growths);
    let dynamic = dynamic.prop_map(|(init, (growth, backoff, interval))| LossScale::Dynamic {
        init,
        growth,
        backoff,
        interval,
    });
    let loss_scale = prop_oneof![2 => Just(LossScale::Fixed(1.0)), 2 => fixed, 2 => dynamic];
    let accumulation = select(vec![Accumulation::Mean, Accumulation::Sum]);
    let switches = (any::<bool>(), prop::bool::weighted(0.3));
    let all = (clip_norm, norm, clip_value, loss_scale, accumulation, switches);
    all.prop_map(|(clip_norm, norm, clip_value, loss_scale, accumulation, switches)| {
        let (skip_nonfinite, zero_grad) = switches;
        let default = Control::default();
        let all = Control { clip_norm, norm, clip_value, loss_scale, accumulation, ..default };
        Control { skip_nonfinite, zero_grad, ..all }
    })
}

fn home() -> impl Strategy<Value = Home> {
    prop_oneof![
        4 => (0_u8..8).prop_map(Home::Arena),
        2 => (0_u8..6).prop_map(Home::Own),
        2 => (0_u8..8).prop_map(Home::Mixed),
        1 => (any::<u8>(), 0_u8..4).prop_map(|(which, from)| Home::Old(which, from)),
    ]
}

fn format() -> impl Strategy<Value = Format> {
    prop_oneof![4 => Just(Format::F32), 1 => Just(Format::Bf16), 1 => Just(Format::F16)]
}

fn grad() -> impl Strategy<Value = Grad> {
    let home = prop_oneof![10 => home(), 1 => any::<u8>().prop_map(Home::Shared)];
    (format(), home).prop_map(|(format, home)| Grad { format, home })
}

fn add_param() -> impl Strategy<Value = Call> {
    let len = prop_oneof![
        4 => select(vec![4_u16, 7, 33, 1, 8]),
        6 => 1_u16..41,
        1 => select(vec![1024_u16, 3001]),
    ];
    let all = (any::<u16>(), len, home(), grad());
    all.prop_map(|(group, len, home, grad)| Call::AddParam { group, len, home, grad })
}

fn fill() -> impl Strategy<Value = Fill> {
    let number = select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
    let bad = (any::<u8>(), any::<u16>(), number, prop::bool::weighted(0.1));
    let bad =
        bad.prop_map(|(param, element, number, always)| Bad { param, element, number, always });
    let bad = prop_oneof![4 => Just(None), 1 => bad.prop_map(Some)];
    let size = select(vec![1.0, 4.0, 0.125]);
    (any::<u16>(), size, bad).prop_map(|(seed, size, bad)| Fill { seed, size, bad })
}

fn filled() -> impl Strategy<Value = Option<Fill>> {
    prop_oneof![1 => Just(None), 5 => fill().prop_map(Some)]
}

fn to() -> impl Strategy<Value = To> {
    prop_oneof![3 => grad().prop_map(To::Place), 2 => any::<u8>().prop_map(To::Swap), 3 => Just(To::Nothing)]
}

fn call() -> impl Strategy<Value = Call> {
    let half = select(vec![Format::Bf16, Format::F16]);
    let copy = prop_oneof![1 => Just(None), 3 => (half, home()).prop_map(Some)];
    prop_oneof![
        1 => spec().prop_map(Call::AddGroup),
        2 => add_param(),
        2 => (any::<u8>(), spec()).prop_map(|(group, spec)| Call::SetGroup { group, spec }),
        1 => select(vec![1e-2, 0.05, 0.0]).prop_map(Call::SetLr),
        3 => control().prop_map(Call::SetControl),
        3 => (any::<u8>(), grad()).prop_map(|(param, to)| Call::SetGrad { param, to }),
        3 => prop::collection::vec((any::<u8>(), to()), 1..6).prop_map(Call::SetGrads),
        1 => (any::<u8>(), copy).prop_map(|(param, to)| Call::SetCopy { param, to }),
        4 => filled().prop_map(Call::Accumulate),
        14 => filled().prop_map(Call::Step),
        1 => Just(Call::Prepare),
        2 => Just(Call::Stats),
        4 => Just(Call::Submit),
        2 => Just(Call::Drop),
        1 => (select(WRONGS.to_vec()), any::<u8>())
            .prop_map(|(what, param)| Call::Wrong { what, param }),
    ]
}

/// Some groups, some parameters, and any calls with them.
pub(crate) fn programs(calls: std::ops::Range<usize>) -> impl Strategy<Value = Program> {
    let groups = prop::collection::vec(spec().prop_map(Call::AddGroup), 1..4);
    let params = prop::collection::vec(add_param(), 1..6);
    let calls = prop::collection::vec(call(), calls);
    let all = (groups, params, calls);
    all.prop_map(|(groups, params, calls)| Program([groups, params, calls].concat()))
}
