//! Which files make a kernel that takes a step, and their text.

use super::access::access;
use crate::group::Group;
use crate::num::Format;
use crate::plan::{Role, Width};
use crate::rule::{self, Rule};

/// Which files make a kernel.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Files {
    pub(crate) width: Width,
    pub(crate) address: Address,
    pub(crate) grads: Grads,
    pub(crate) formats: Formats,
    pub(crate) weight: Weight,
    /// Whether an average of the parameters is kept.
    pub(crate) average: bool,
    pub(crate) body: Body,
}

/// What parameters are, and what becomes of them.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Weight {
    /// What is stored.
    Plain,
    /// The same, rounded at random.
    Stochastic,
    /// The upper half of an f32, with the lower beside it.
    Remainder,
    /// An f32 rounded, with how far it is off beside it.
    Master,
    /// What is stored, with a copy in this format.
    Copy(Format),
}

/// How parameters, gradients and state are stored.
pub(crate) type Formats = [Format; 3];

/// What a kernel does with what it loads.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Body {
    /// A step.
    Update,
    /// A step that first limits each gradient's magnitude.
    Clip,
    /// The same traffic with next to no arithmetic: what a step's speed is measured against.
    Stream,
}

/// How workgroups find their elements.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Address {
    Direct,
    Table,
}

/// Where the gradients are.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Grads {
    /// In a buffer of their own.
    Own,
    /// In a buffer that is written: the parameters' or their copies'.
    Shared,
    /// Anywhere, and zero once they are used.
    Cleared,
}

/// Something a kernel binds in group 0 besides its launch and chunks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding {
    /// As in `shaders/access/bindings.wgsl`.
    pub(crate) number: u32,
    pub(crate) role: Role,
    /// Which slot, where the role is the state.
    pub(crate) slot: usize,
    pub(crate) read_only: bool,
}

impl Binding {
    pub(super) fn written(number: u32, role: Role) -> Self {
        Self { number, role, slot: 0, read_only: false }
    }

    /// The gradients.
    pub(super) fn grads(grads: Grads) -> Self {
        Self { read_only: grads == Grads::Own, ..Self::written(3, Role::Grad) }
    }
}

impl Files {
    /// Every combination that is worth a look of its own.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Self::every();
        all.retain(Self::is_listed);
        all
    }

    /// Every combination that a step can take.
    fn every() -> Vec<Self> {
        let mut all = vec![Self {
            width: Width::Vec4,
            address: Address::Direct,
            grads: Grads::Own,
            formats: [Format::F32; 3],
            weight: Weight::Plain,
            average: false,
            body: Body::Update,
        }];
        let mut each = |choices: &dyn Fn(Self) -> Vec<Self>| {
            all = all.iter().copied().flat_map(choices).collect();
        };
        each(&|files| [Width::Vec4, Width::Scalar].map(|width| Self { width, ..files }).into());
        each(&|files| Address::ALL.map(|address| Self { address, ..files }).into());
        each(&|files| Grads::ALL.map(|grads| Self { grads, ..files }).into());
        each(&|files| all_formats().map(|formats| Self { formats, ..files }).collect());
        each(&|files| Weight::all().map(|weight| Self { weight, ..files }).collect());
        each(&|files| [false, true].map(|average| Self { average, ..files }).into());
        each(&|files| Body::ALL.map(|body| Self { body, ..files }).into());
        all.retain(Self::can_be);
        all
    }

    fn kernel(self, rule: &dyn Rule) -> Kernel {
        let on = rule.switches().into_iter().filter(|(_, on)| *on);
        let on: String = on.map(|(name, _)| format!("-{name}")).collect();
        Kernel {
            name: format!("{}{on}{}", rule.name(), self.label()),
            wgsl: self.wgsl(rule),
            entry_point: "update",
            switches: self.switches(rule),
            formats: self.formats,
        }
    }

    /// What it binds in group 0 besides its launch and chunks.
    pub(crate) fn bindings(self, slots: usize) -> Vec<Binding> {
        let mut all = vec![Binding::written(2, Role::Param), Binding::grads(self.grads)];
        let numbers = [4, 5, 6, 10];
        let slot = |(slot, number)| Binding { slot, ..Binding::written(number, Role::State) };
        all.extend(numbers.into_iter().take(slots).enumerate().map(slot));
        all.extend(match self.weight {
            Weight::Plain | Weight::Stochastic => None,
            Weight::Remainder | Weight::Master => Some(Binding::written(7, Role::Lower)),
            Weight::Copy(_) => Some(Binding::written(9, Role::Copy)),
        });
        all.extend(self.average.then(|| Binding::written(8, Role::Average)));
        all
    }

    /// The kernel of `rule` made of these files.
    pub(super) fn wgsl(self, rule: &dyn Rule) -> String {
        let Self { width, grads, formats: [_, grad, state], .. } = self;
        let copied = match self.weight {
            Weight::Copy(format) => Some(format),
            _ => None,
        };
        let used = |format: &Format| self.formats.contains(format) || copied == Some(*format);
        let codecs: Vec<&str> =
            Format::ALL.iter().filter(|format| used(format)).filter_map(|f| f.codec()).collect();
        let slots = rule.slots().len();
        let slot = |slot| state.access(&format!("slot_{slot}"), width, true);
        [
            width.wgsl(),
            include_str!("../../shaders/prelude.wgsl"),
            include_str!("../../shaders/step.wgsl"),
            &codecs.join("\n"),
            include_str!("../../shaders/access/bindings.wgsl"),
            &self.param(),
            &grads.wgsl(grad, width),
            &(0..slots).map(slot).collect::<Vec<_>>().join("\n"),
            STATE[slots],
            &self.average(),
            self.address.wgsl(),
            match self.address {
                Address::Direct => include_str!("../../shaders/scalars/direct.wgsl"),
                Address::Table => include_str!("../../shaders/scalars/table.wgsl"),
            },
            include_str!("../../shaders/math.wgsl"),
            rule.wgsl(),
            include_str!("../../shaders/clip.wgsl"),
            match self.body {
                Body::Update | Body::Clip => include_str!("../../shaders/kernel/update.wgsl"),
                Body::Stream => include_str!("../../shaders/kernel/stream.wgsl"),
            },
        ]
        .join("\n")
    }

    /// Access to the parameters.
    fn param(self) -> String {
        let Self { width, formats: [param, ..], .. } = self;
        let named = |wgsl: &str| wgsl.replace("codec", param.name());
        let stored = || param.access("param", width, true);
        match self.weight {
            Weight::Plain => {
                [stored(), include_str!("../../shaders/param/plain.wgsl").to_owned()].join("\n")
            }
            Weight::Stochastic => [
                stored(),
                include_str!("../../shaders/param/noise.wgsl").to_owned(),
                named(include_str!("../../shaders/param/stochastic.wgsl")),
            ]
            .join("\n"),
            Weight::Master => [
                stored(),
                include_str!("../../shaders/access/bits.wgsl").replace("role", "lower"),
                named(include_str!("../../shaders/param/master.wgsl")),
            ]
            .join("\n"),
            Weight::Remainder => [
                include_str!("../../shaders/param/raw.wgsl"),
                &access(Some("raw"), "upper", width, true),
                &access(Some("raw"), "lower", width, true),
                include_str!("../../shaders/param/remainder.wgsl"),
            ]
            .join("\n"),
            Weight::Copy(format) => [
                stored(),
                format.access("copy", width, true),
                include_str!("../../shaders/param/copy.wgsl").to_owned(),
            ]
            .join("\n"),
        }
    }

    /// Access to the parameters' average.
    fn average(self) -> String {
        if !self.average {
            return include_str!("../../shaders/average/none.wgsl").to_owned();
        }
        let access = Format::F32.access("ema", self.width, true);
        [&access, include_str!("../../shaders/average/ema.wgsl")].join("\n")
    }

    /// The values of the kernel's `override` switches.
    pub(super) fn switches(self, rule: &dyn Rule) -> Vec<(&'static str, bool)> {
        let mut switches = rule.switches();
        if self.body == Body::Clip {
            switches.push(("CLIP_VALUE", true));
        }
        switches
    }
}

impl Grads {
    const ALL: [Self; 3] = [Self::Own, Self::Shared, Self::Cleared];

    /// Access to gradients stored in `format`. Where something else in their buffer is written they are
    /// bound as that: one buffer may not be bound `read` and `read_write` in one dispatch.
    pub(super) fn wgsl(self, format: Format, width: Width) -> String {
        let access = format.access("grad", width, self != Self::Own);
        let after = match self {
            Self::Own | Self::Shared => include_str!("../../shaders/grad/keep.wgsl"),
            Self::Cleared => include_str!("../../shaders/grad/zero.wgsl"),
        };
        [&access, after].join("\n")
    }
}

impl Weight {
    fn all() -> impl Iterator<Item = Self> {
        let kept = [Self::Plain, Self::Stochastic, Self::Remainder, Self::Master];
        kept.into_iter().chain(Format::ALL.map(Self::Copy))
    }

    fn label(self) -> String {
        match self {
            Self::Plain => String::new(),
            Self::Stochastic => "-stochastic".to_owned(),
            Self::Remainder => "-remainder".to_owned(),
            Self::Master => "-master".to_owned(),
            Self::Copy(format) => format!("-{}_copy", format.name()),
        }
    }
}

impl Body {
    const ALL: [Self; 3] = [Self::Update, Self::Clip, Self::Stream];
}

impl Width {
    pub(super) fn wgsl(self) -> &'static str {
        match self {
            Self::Vec4 => include_str!("../../shaders/vec4.wgsl"),
            Self::Scalar => include_str!("../../shaders/scalar.wgsl"),
        }
    }
}

impl Address {
    pub(super) const ALL: [Self; 2] = [Self::Direct, Self::Table];

    pub(super) fn wgsl(self) -> &'static str {
        match self {
            Self::Direct => include_str!("../../shaders/address/direct.wgsl"),
            Self::Table => include_str!("../../shaders/address/table.wgsl"),
        }
    }
}

/// Access to the state, by the number of slots.
const STATE: [&str; rule::MAX_SLOTS + 1] = [
    include_str!("../../shaders/access/state_0.wgsl"),
    include_str!("../../shaders/access/state_1.wgsl"),
    include_str!("../../shaders/access/state_2.wgsl"),
    include_str!("../../shaders/access/state_3.wgsl"),
    include_str!("../../shaders/access/state_4.wgsl"),
];

/// Every combination of formats, all f32 first.
pub(crate) fn all_formats() -> impl Iterator<Item = Formats> {
    let of = |format| Format::ALL.map(|other| (format, other)).into_iter();
    let pairs = Format::ALL.into_iter().flat_map(of);
    pairs.flat_map(|(param, grad)| Format::ALL.map(|state| [param, grad, state]))
}

/// A kernel as text, to look at or to check with other tools.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Its rule, switches and files, as in `adam-AMSGRAD-vec4-table-own-update`; with formats other than
    /// f32 as in `adam-vec4-table-own-bf16-bf16-f32-update`, of parameters, gradients and state;
    /// before them `remainder` or `master` where that completes the parameters, `stochastic` where they are
    /// rounded so, `bf16_copy` where they are copied, `ema` where they are averaged.
    pub name: String,
    /// The complete WGSL.
    pub wgsl: String,
    /// The name of its entry point.
    pub entry_point: &'static str,
    /// The values of its `override` switches.
    pub switches: Vec<(&'static str, bool)>,
    /// How it finds parameters, gradients and state stored.
    pub formats: [Format; 3],
}

/// Every kernel of a group's rule.
pub fn kernels_of(group: &Group) -> Vec<Kernel> {
    let rule = &*group.rule;
    Files::all().into_iter().map(|files| files.kernel(rule)).collect()
}

/// Every kernel that a group of this rule could need, not only those that [`kernels_of`] finds worth a
/// look of their own. They are many.
pub fn every_kernel_of(group: &Group) -> impl Iterator<Item = Kernel> {
    let rule = group.rule.clone();
    Files::every().into_iter().map(move |files| files.kernel(&*rule))
}

/// Every kernel of every rule this crate ships, each once.
pub fn kernels() -> Vec<Kernel> {
    let groups = rule::ALL.iter().flat_map(|entry| (entry.variants)()).map(Group::from);
    let mut all: Vec<Kernel> = groups.flat_map(|group| kernels_of(&group)).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all.dedup_by(|a, b| a.name == b.name);
    all
}

impl Files {
    /// Whether these would show what is wrong with a rule: it sees no format, but its names may be a
    /// codec's.
    pub(super) fn is_telling(self) -> bool {
        let all_there = [Format::F16, Format::Bf16, Format::F32];
        let once = self.address == Address::Direct && self.grads == Grads::Own;
        let in_f32 = self.formats == [Format::F32; 3] && self.body != Body::Stream;
        let alone = self.weight == Weight::Plain && !self.average;
        alone && self.grads != Grads::Cleared && (in_f32 || (self.formats == all_there && once))
    }

    /// Whether there are such parameters.
    fn can_be(&self) -> bool {
        let [param, ..] = self.formats;
        match self.weight {
            Weight::Plain => true,
            Weight::Stochastic | Weight::Master => param != Format::F32,
            Weight::Remainder => param == Format::Bf16,
            Weight::Copy(format) => param == Format::F32 && format != Format::F32,
        }
    }

    /// Whether it is worth a look of its own: what formats and bodies do does not depend on each other.
    /// Nor do gradients, what parameters are rounded from, and whether they are averaged.
    fn is_listed(&self) -> bool {
        let [param, grad, state] = self.formats;
        let in_f32 = self.formats == [Format::F32; 3];
        let step = self.body == Body::Update;
        let weighed = match self.weight {
            Weight::Plain => step || in_f32,
            Weight::Stochastic | Weight::Remainder | Weight::Master => step && param == grad,
            Weight::Copy(_) => step && in_f32,
        };
        let averaged = step && self.grads == Grads::Own && param == grad && state == Format::F32;
        let cleared = step && self.weight == Weight::Plain && [param, state] == [Format::F32; 2];
        weighed
            && (averaged || !self.average)
            && match self.grads {
                Grads::Own => true,
                Grads::Shared => !matches!(self.weight, Weight::Copy(_)),
                Grads::Cleared => cleared,
            }
    }

    pub(super) fn label(self) -> String {
        let Self { width, address, grads, formats, weight, average, body } = self;
        let formats = match formats {
            [Format::F32, Format::F32, Format::F32] => String::new(),
            formats => formats.map(|format| format!("-{}", format.name())).concat(),
        };
        let weight = weight.label();
        let average = if average { "-ema" } else { "" };
        format!("-{width:?}-{address:?}-{grads:?}{weight}{average}{formats}-{body:?}")
            .to_lowercase()
    }
}
