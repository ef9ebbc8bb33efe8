//! Which files make a kernel that takes a step, and their text.

use crate::format::{Format, access};
use crate::group::Group;
use crate::master::Master;
use crate::plan::Width;
use crate::rule::{self, Rule};

/// Which files make a kernel.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Files {
    pub(crate) width: Width,
    pub(crate) address: Address,
    pub(crate) grads: Grads,
    pub(crate) formats: Formats,
    pub(crate) master: Master,
    /// Whether parameters are rounded at random.
    pub(crate) stochastic: bool,
    pub(crate) body: Body,
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
    /// In the parameters' buffer.
    Shared,
}

impl Files {
    /// Every combination, but that with formats other than f32 only steps are listed.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let widths = [Width::Vec4, Width::Scalar];
        let addresses = [Address::Direct, Address::Table];
        let grads = [Grads::Own, Grads::Shared];
        widths.into_iter().flat_map(move |width| {
            addresses.into_iter().flat_map(move |address| {
                grads.into_iter().flat_map(move |grads| {
                    all_formats().flat_map(move |formats| {
                        WEIGHTS.into_iter().flat_map(move |(master, stochastic)| {
                            let files = Self {
                                width,
                                address,
                                grads,
                                formats,
                                master,
                                stochastic,
                                body: Body::Update,
                            };
                            [Body::Update, Body::Clip, Body::Stream]
                                .map(|body| Self { body, ..files })
                                .into_iter()
                                .filter(|files| files.is_listed())
                        })
                    })
                })
            })
        })
    }

    /// The kernel of `rule` made of these files.
    pub(super) fn wgsl(self, rule: &dyn Rule) -> String {
        let Self { width, grads, formats: [_, grad, state], .. } = self;
        let codec = |format: &Format| format.codec().filter(|_| self.formats.contains(format));
        let codecs: Vec<&str> = Format::ALL.iter().filter_map(codec).collect();
        let slots = rule.slots().len();
        let slot = |slot| state.access(&format!("slot_{slot}"), width, true);
        [
            width.wgsl(),
            include_str!("../../shaders/prelude.wgsl"),
            include_str!("../../shaders/step.wgsl"),
            &codecs.join("\n"),
            include_str!("../../shaders/access/bindings.wgsl"),
            &self.param(),
            // In the parameters' buffer they are bound as those: one buffer may not be bound `read`
            // and `read_write` in one dispatch.
            &grad.access("grad", width, grads == Grads::Shared),
            &(0..slots).map(slot).collect::<Vec<_>>().join("\n"),
            STATE[slots],
            self.address.wgsl(),
            match self.address {
                Address::Direct => include_str!("../../shaders/scalars/direct.wgsl"),
                Address::Table => include_str!("../../shaders/scalars/table.wgsl"),
            },
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
        match self.master {
            Master::None if self.stochastic => [
                &param.access("param", width, true),
                include_str!("../../shaders/param/noise.wgsl"),
                &include_str!("../../shaders/param/stochastic.wgsl").replace("codec", param.name()),
            ]
            .join("\n"),
            Master::None => [
                &param.access("param", width, true),
                include_str!("../../shaders/param/plain.wgsl"),
            ]
            .join("\n"),
            Master::F32 => [
                param.access("param", width, true),
                access(None, "lower", width, true),
                include_str!("../../shaders/param/master.wgsl").replace("codec", param.name()),
            ]
            .join("\n"),
            Master::Remainder => [
                include_str!("../../shaders/param/raw.wgsl"),
                &access(Some("raw"), "upper", width, true),
                &access(Some("raw"), "lower", width, true),
                include_str!("../../shaders/param/remainder.wgsl"),
            ]
            .join("\n"),
        }
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

impl Width {
    pub(super) fn wgsl(self) -> &'static str {
        match self {
            Self::Vec4 => include_str!("../../shaders/vec4.wgsl"),
            Self::Scalar => include_str!("../../shaders/scalar.wgsl"),
        }
    }
}

impl Address {
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
];

/// What parameters are rounded from, and whether at random.
const WEIGHTS: [(Master, bool); 4] =
    [(Master::None, false), (Master::None, true), (Master::Remainder, false), (Master::F32, false)];

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
    /// rounded so.
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
    let switches = rule.switches();
    let on: String =
        switches.iter().filter(|(_, on)| *on).map(|(name, _)| format!("-{name}")).collect();
    Files::all()
        .map(|files| Kernel {
            name: format!("{}{on}{}", rule.name(), files.label()),
            wgsl: files.wgsl(rule),
            entry_point: "update",
            switches: files.switches(rule),
            formats: files.formats,
        })
        .collect()
}

/// Every kernel of every rule this crate ships, each once.
pub fn kernels() -> Vec<Kernel> {
    let groups = rule::ALL.iter().flat_map(|entry| (entry.variants)());
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
        in_f32
            || (self.formats == all_there
                && once
                && self.master == Master::None
                && !self.stochastic)
    }

    /// Whether it is worth a look of its own: what formats and bodies do does not depend on each other.
    /// Nor do gradients and what parameters are rounded from.
    fn is_listed(&self) -> bool {
        let [param, grad, _] = self.formats;
        let step = self.body == Body::Update;
        match (self.master, self.stochastic) {
            (Master::None, false) => step || self.formats == [Format::F32; 3],
            (Master::None, true) | (Master::F32, _) => {
                step && param == grad && param != Format::F32
            }
            (Master::Remainder, _) => step && [param, grad] == [Format::Bf16; 2],
        }
    }

    pub(super) fn label(self) -> String {
        let Self { width, address, grads, formats, master, stochastic, body } = self;
        let formats = match formats {
            [Format::F32, Format::F32, Format::F32] => String::new(),
            formats => formats.map(|format| format!("-{}", format.name())).concat(),
        };
        let master = match (master, stochastic) {
            (Master::Remainder, _) => "-remainder",
            (Master::F32, _) => "-master",
            (Master::None, true) => "-stochastic",
            (Master::None, false) => "",
        };
        format!("-{width:?}-{address:?}-{grads:?}{master}{formats}-{body:?}").to_lowercase()
    }
}
