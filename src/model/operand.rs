//! This module has the table of operands. An operand is one kind of number that a kernel reads or writes for each
//! element, and a row of [`OPERANDS`]. Bindings, layouts, allocation, limits, checks for overlaps, the text of
//! accesses and the labels are loops over this table.

use crate::group::Group;
use crate::num::{Format, Master};
use crate::plan::{GRAD, PARAM, STATE};

use super::spec::{Body, Grads, Spec};
use crate::num::Code;

/// One kind of number that a kernel reads or writes for each element.
pub(crate) struct Operand {
    /// The name in WGSL, in labels and in `Optimizer::operand`.
    pub(crate) name: &'static str,
    /// Whether a group asks for the operand, if the operand is an option of groups.
    pub(crate) option: Option<fn(&Group) -> bool>,
    /// The number of these operands in a kernel; 0 if it has none.
    pub(crate) each: fn(&Spec) -> usize,
    home: Home,
    place: Place,
    /// The code of each of these operands.
    pub(crate) code: fn(&Spec, usize) -> Code,
    access: fn(&Spec) -> Access,
}

impl Operand {
    /// Whether the library owns the buffer.
    pub(crate) fn is_ours(&self) -> bool {
        self.home == Home::Slab
    }

    /// The operand's own column in a chunk, if it has one.
    pub(crate) fn column(&self) -> Option<usize> {
        match self.place {
            Place::Column(column) => Some(column),
            Place::With(_) => None,
        }
    }

    /// The column that the operand follows at a distance, if it has none of its own.
    pub(crate) fn follows(&self) -> Option<usize> {
        match self.place {
            Place::Column(_) => None,
            Place::With(column) => Some(column),
        }
    }
}

/// The owner of an operand's buffer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Home {
    /// The caller.
    Caller,
    /// The library. The buffer is that of a slab, in which the parameter has a range.
    Slab,
}

/// The way in which a launch finds an element.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// By an index of its own, in this column of a chunk.
    Column(usize),
    /// At a distance from this column, which is constant within a launch.
    With(usize),
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
        code: |spec, _| match spec.master() {
            Master::Remainder => Code::Bits(16),
            _ => Code::Plain(spec.param),
        },
        access: |_| Access::ReadWrite,
    },
    Operand {
        name: "grad",
        option: None,
        each: |spec| usize::from(spec.body != Body::Blend),
        home: Home::Caller,
        place: Place::Column(GRAD),
        code: |spec, _| Code::Plain(spec.grad),
        access: |spec| if spec.clear { Access::ReadWrite } else { Access::Read },
    },
    Operand {
        name: "slot",
        option: None,
        each: Spec::slots,
        home: Home::Slab,
        place: Place::Column(STATE),
        code: |spec, slot| spec.state.get(slot),
        access: |spec| match spec.body {
            Body::Blend => Access::Read,
            _ => Access::ReadWrite,
        },
    },
    // The low bits of a 16-bit parameter's f32.
    Operand {
        name: "low_bits",
        option: None,
        each: |spec| usize::from(spec.master() != Master::None),
        home: Home::Slab,
        place: Place::With(STATE),
        code: |spec, _| Code::Bits(if spec.master() == Master::Remainder { 16 } else { 32 }),
        access: |_| Access::ReadWrite,
    },
    // An average of the parameter.
    Operand {
        name: "ema",
        option: Some(|group| group.ema.is_some()),
        each: |spec| usize::from(keeps(spec, "ema")),
        home: Home::Slab,
        place: Place::With(STATE),
        code: |_, _| Code::Plain(Format::F32),
        access: |_| Access::ReadWrite,
    },
    // A copy of the parameter, in fewer bits.
    Operand {
        name: "copy",
        option: None,
        each: |spec| usize::from(spec.is_step() && spec.copy.is_some()),
        home: Home::Caller,
        place: Place::With(PARAM),
        code: |spec, _| Code::Plain(spec.copy.unwrap_or_default()),
        access: |_| Access::Write,
    },
    // The sum of the gradients of several backward passes.
    Operand {
        name: "sum",
        option: None,
        each: |spec| usize::from(spec.body == Body::Accumulate),
        home: Home::Slab,
        place: Place::With(STATE),
        code: |_, _| Code::Plain(Format::F32),
        access: |_| Access::ReadWrite,
    },
];

/// The rows of `OPERANDS` that a group asks for, one bit each.
pub(crate) fn asked(group: &Group) -> u16 {
    rows(|operand| operand.option.is_some_and(|asks| asks(group)))
}

/// Whether a step keeps an optional operand.
pub(crate) fn keeps(spec: &Spec, name: &str) -> bool {
    spec.is_step() && operand(name).is_some_and(|row| spec.kept >> row & 1 == 1)
}

/// The rows of `OPERANDS` that a group may ask for, one bit each.
pub(crate) fn options() -> u16 {
    rows(|operand| operand.option.is_some())
}

fn rows(has: impl Fn(&Operand) -> bool) -> u16 {
    let rows = OPERANDS.iter().enumerate().filter(|(_, operand)| has(operand));
    rows.fold(0, |all, (row, _)| all | 1 << row)
}

/// The row of `OPERANDS` with this name.
pub(crate) fn operand(name: &str) -> Option<usize> {
    OPERANDS.iter().position(|operand| operand.name == name)
}

/// A variable that WGSL binds for an operand.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Variable {
    /// The operand's name, followed by a number if a kernel may have several.
    pub(crate) name: String,
    /// The row of [`OPERANDS`].
    pub(crate) operand: usize,
    /// The number of the variable among those of its operand.
    pub(crate) index: usize,
    pub(crate) code: Code,
    access: Access,
    /// Whether the binding may be written.
    pub(crate) written: bool,
    pub(crate) binding: u32,
}

impl Variable {
    /// Whether the kernel's text loads the variable.
    pub(crate) fn loads(&self) -> bool {
        self.access != Access::Write
    }

    /// Whether the kernel's text stores the variable.
    pub(crate) fn stores(&self) -> bool {
        self.access != Access::Read
    }
}

/// The first binding of an operand. The bindings of the launch and its chunks come before.
pub(crate) const FIRST_BINDING: u32 = 2;

/// The variables of a kernel, in the order of their bindings.
pub(crate) fn variables(spec: &Spec) -> Vec<Variable> {
    let mut all: Vec<Variable> = Vec::new();
    for (row, operand) in OPERANDS.iter().enumerate() {
        let each = (operand.each)(spec);
        let access = (operand.access)(spec);
        // Parameters and gradients that are joined have one binding.
        let joined = row == GRAD && spec.grads == Grads::Joined;
        let shared = row == GRAD && spec.grads == Grads::Shared;
        for index in 0..if joined { 0 } else { each } {
            let code = (operand.code)(spec, index);
            // A move to an average reads no slot in blocks: no average lies on the line to one.
            if spec.body == Body::Blend && matches!(code, Code::Blocks(_)) {
                continue;
            }
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
