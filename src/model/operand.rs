//! The table of operands: all that a kernel reads or writes for each element.
//!
//! An operand is a row of [`OPERANDS`]. Bindings, layouts, allocation, limits, checks for overlaps, the
//! text of accesses and the labels are loops over this table.

use crate::group::Group;
use crate::num::{Format, Master};
use crate::plan::{GRAD, PARAM, STATE};

use super::spec::{Body, Grads, Spec};

/// One kind of number that a kernel reads or writes for each element.
pub(crate) struct Operand {
    /// The name in WGSL, in labels and in `Optimizer::operand`.
    pub(crate) name: &'static str,
    /// Whether a group asks for it, if it is an option of groups.
    pub(crate) option: Option<fn(&Group) -> bool>,
    /// How many a kernel has; 0 if it has none.
    pub(crate) each: fn(&Spec) -> usize,
    home: Home,
    place: Place,
    pub(crate) code: fn(&Spec) -> Code,
    access: fn(&Spec) -> Access,
}

impl Operand {
    /// Whether the library owns its buffer.
    pub(crate) fn is_ours(&self) -> bool {
        self.home == Home::Slab
    }

    /// The column of a chunk that is its index, if it has one of its own.
    pub(crate) fn column(&self) -> Option<usize> {
        match self.place {
            Place::Column(column) => Some(column),
            Place::With(_) => None,
        }
    }

    /// The column from which it stands at a distance, if it does.
    pub(crate) fn follows(&self) -> Option<usize> {
        match self.place {
            Place::Column(_) => None,
            Place::With(column) => Some(column),
        }
    }
}

/// Who owns the buffer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Home {
    /// The caller.
    Caller,
    /// The library: a slab, where the parameter has a range.
    Slab,
}

/// How a launch finds an element.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// By an index of its own: this column of a chunk.
    Column(usize),
    /// At a distance from this column that is constant within a launch.
    With(usize),
}

/// How a number is stored.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Code {
    /// As a number.
    Plain(Format),
    /// As so many bits that are no number by themselves: 16 or 32.
    Bits(u32),
}

impl Code {
    pub(crate) fn bits(self) -> u32 {
        match self {
            Self::Plain(format) => 8 * format.bytes() as u32,
            Self::Bits(bits) => bits,
        }
    }

    /// The format that a view of such numbers has.
    pub(crate) fn format(self) -> Format {
        match self {
            Self::Plain(format) => format,
            Self::Bits(16) => Format::Bf16,
            Self::Bits(_) => Format::F32,
        }
    }
}

/// Whether a kernel reads an operand, writes it, or both.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Access {
    Read,
    Write,
    ReadWrite,
}

/// Every operand there is. The first three have the columns of a chunk, in this order.
pub(crate) const OPERANDS: &[Operand] = &[
    Operand {
        name: "param",
        option: None,
        each: |spec| usize::from(spec.is_step()),
        home: Home::Caller,
        place: Place::Column(PARAM),
        code: |spec| match spec.master() {
            Master::Remainder => Code::Bits(16),
            _ => Code::Plain(spec.param),
        },
        access: |_| Access::ReadWrite,
    },
    Operand {
        name: "grad",
        option: None,
        each: |_| 1,
        home: Home::Caller,
        place: Place::Column(GRAD),
        code: |spec| Code::Plain(spec.grad),
        access: |spec| if spec.clear { Access::ReadWrite } else { Access::Read },
    },
    Operand {
        name: "slot",
        option: None,
        each: Spec::slots,
        home: Home::Slab,
        place: Place::Column(STATE),
        code: |spec| Code::Plain(spec.state),
        access: |_| Access::ReadWrite,
    },
    // The low bits of the parameter's f32, which 16 bits leave.
    Operand {
        name: "low_bits",
        option: None,
        each: |spec| usize::from(spec.master() != Master::None),
        home: Home::Slab,
        place: Place::With(STATE),
        code: |spec| Code::Bits(if spec.master() == Master::Remainder { 16 } else { 32 }),
        access: |_| Access::ReadWrite,
    },
    // An average of the parameter.
    Operand {
        name: "ema",
        option: Some(|group| group.ema.is_some()),
        each: |spec| usize::from(keeps(spec, "ema")),
        home: Home::Slab,
        place: Place::With(STATE),
        code: |_| Code::Plain(Format::F32),
        access: |_| Access::ReadWrite,
    },
    // A copy of the parameter, in fewer bits.
    Operand {
        name: "copy",
        option: None,
        each: |spec| usize::from(spec.is_step() && spec.copy.is_some()),
        home: Home::Caller,
        place: Place::With(PARAM),
        code: |spec| Code::Plain(spec.copy.unwrap_or_default()),
        access: |_| Access::Write,
    },
    // The sum of the gradients of several backward passes.
    Operand {
        name: "sum",
        option: None,
        each: |spec| usize::from(spec.body == Body::Accumulate),
        home: Home::Slab,
        place: Place::With(STATE),
        code: |_| Code::Plain(Format::F32),
        access: |_| Access::ReadWrite,
    },
];

/// The rows of `OPERANDS` that a group asks for, a bit each.
pub(crate) fn asked(group: &Group) -> u16 {
    rows(|operand| operand.option.is_some_and(|asks| asks(group)))
}

/// Whether a step keeps an operand that is an option.
pub(crate) fn keeps(spec: &Spec, name: &str) -> bool {
    spec.is_step() && operand(name).is_some_and(|row| spec.kept >> row & 1 == 1)
}

/// The rows of `OPERANDS` that a group may ask for, a bit each.
pub(crate) fn options() -> u16 {
    rows(|operand| operand.option.is_some())
}

fn rows(has: impl Fn(&Operand) -> bool) -> u16 {
    let rows = OPERANDS.iter().enumerate().filter(|(_, operand)| has(operand));
    rows.fold(0, |all, (row, _)| all | 1 << row)
}

/// The row of `OPERANDS` that has this name.
pub(crate) fn operand(name: &str) -> Option<usize> {
    OPERANDS.iter().position(|operand| operand.name == name)
}

/// A variable that WGSL binds for an operand.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Variable {
    /// The operand's name; with a number, if a kernel may have several.
    pub(crate) name: String,
    /// The row of [`OPERANDS`].
    pub(crate) operand: usize,
    /// Which of the operand's.
    pub(crate) index: usize,
    pub(crate) code: Code,
    access: Access,
    /// Whether it is bound to be written.
    pub(crate) written: bool,
    pub(crate) binding: u32,
}

impl Variable {
    /// Whether the kernel's text loads it.
    pub(crate) fn loads(&self) -> bool {
        self.access != Access::Write
    }

    /// Whether the kernel's text stores it.
    pub(crate) fn stores(&self) -> bool {
        self.access != Access::Read
    }
}

/// The first binding of an operand: the launch and its chunks come before.
pub(crate) const FIRST_BINDING: u32 = 2;

/// The variables of a kernel, in the order of their bindings.
pub(crate) fn variables(spec: &Spec) -> Vec<Variable> {
    let mut all: Vec<Variable> = Vec::new();
    for (row, operand) in OPERANDS.iter().enumerate() {
        let each = (operand.each)(spec);
        let (code, access) = ((operand.code)(spec), (operand.access)(spec));
        // One binding holds parameters and gradients that are joined.
        let joined = row == GRAD && spec.grads == Grads::Joined;
        let shared = row == GRAD && spec.grads == Grads::Shared;
        for index in 0..if joined { 0 } else { each } {
            let name = match operand.name {
                "slot" => format!("slot_{index}"),
                name => name.to_owned(),
            };
            let written = shared || access != Access::Read;
            let binding = FIRST_BINDING + all.len() as u32;
            all.push(Variable { name, operand: row, index, code, access, written, binding });
        }
    }
    all
}

const _: () = assert!(OPERANDS.len() <= crate::plan::MOST);
