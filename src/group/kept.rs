//! The formats of the state that a group keeps.

use super::Group;
use crate::block_error::BlockError;
use crate::error::Error;
use crate::num::{BlockCode, Master, StateFormat, StateFormats};
use crate::rule::{self, Sign, Slot};

impl Group {
    /// The same with state stored in this format, rounded to nearest at every step; or with a format for each slot
    /// that is named. Every rule says which of its slots may be in blocks ([`Slot::blocks`]); the others are in f32
    /// then.
    ///
    /// [`Slot::blocks`]: crate::Slot
    #[must_use]
    pub fn state_format(self, state_format: impl Into<StateFormats>) -> Self {
        Self { state_format: state_format.into(), ..self }
    }

    /// The same with state in f32 in place of blocks for parameters with fewer elements.
    #[must_use]
    pub fn block_min_size(self, block_min_size: u64) -> Self {
        Self { block_min_size, ..self }
    }

    /// The same with codes of state in blocks chosen at random, a function of this seed, the parameter's recorded
    /// step, the slot and the element's place in its buffer ([`BlockCode::encode_at_random`]); with `None`, the
    /// nearest.
    ///
    /// [`BlockCode::encode_at_random`]: crate::BlockCode::encode_at_random
    #[must_use]
    pub fn stochastic_state(self, seed: impl Into<Option<u64>>) -> Self {
        Self { stochastic_state: seed.into(), ..self }
    }

    /// The code in which a slot of a parameter with `len` elements is stored; `None` if it is stored as numbers, or if
    /// the rule keeps no such slot.
    pub fn block_code(&self, slot: &str, len: u64) -> Option<BlockCode> {
        let slots = self.rule.slots();
        let slot = slots.iter().find(|of| of.name == slot && len >= self.block_min_size)?;
        slot.format(&self.state_format).code(slot.blocks == Some(Sign::Signed))
    }

    /// A description of all that is kept beside each parameter, in words. `slots` are the rule's.
    pub(crate) fn keeps(&self, slots: &[Slot], in_16_bits: bool) -> String {
        // Parameters in f32 need no master.
        let master = match if in_16_bits { self.master } else { Master::None } {
            Master::None => "",
            Master::Remainder => " with remainders",
            Master::F32 => " with masters",
        };
        let ema = if self.ema.is_some() { " with averages" } else { "" };
        // Slots by themselves, because groups can name the same formats in several ways.
        let formats = slots.iter().map(|slot| slot.format(&self.state_format));
        let formats: Vec<StateFormat> = formats.collect();
        let in_blocks = formats.iter().any(|format| format.plain().is_none());
        let small = match self.block_min_size {
            least if in_blocks && least > 0 => format!(" from {least} elements on"),
            _ => String::new(),
        };
        let state = match formats.first() {
            None => self.state_format.clone(),
            Some(first) if formats.iter().all(|format| format == first) => (*first).into(),
            Some(_) => {
                let named = slots.iter().map(|slot| slot.name.to_owned()).zip(formats);
                named.collect::<Vec<_>>().into()
            }
        };
        format!("{state}{small}{master}{ema}")
    }

    /// Whether the rule has every slot whose format is named.
    pub(super) fn check_slots(&self) -> Result<(), Error> {
        let StateFormats::Each(named) = &self.state_format else { return Ok(()) };
        let slots = rule::slot_names(&*self.rule);
        match named.iter().find(|(name, _)| !slots.contains(&name.as_str())) {
            None => Ok(()),
            Some((slot, _)) => {
                let known = match &slots[..] {
                    [] => "no slot, as it keeps no state,".to_owned(),
                    slots => format!("one of `{}`", slots.join("`, `")),
                };
                let (rule, slot) = (self.rule.name(), slot.clone());
                Err(BlockError::NamedSlot { rule, slot, known }.into())
            }
        }
    }
}
