//! Look-ups of state by the names of parameters.

use wgpu_optim::{Error, Optimizer, View};

/// Looks up what an optimizer keeps of a parameter, which gets state if it has none yet.
pub trait ByName {
    /// [`Optimizer::state`].
    ///
    /// # Errors
    /// As there, and if there is no such parameter or no room.
    fn state_of(&mut self, name: &str, slot: &str) -> Result<View, Error>;

    /// [`Optimizer::master`].
    ///
    /// # Errors
    /// As [`ByName::state_of`].
    fn master_of(&mut self, name: &str) -> Result<Option<View>, Error>;

    /// [`Optimizer::ema`].
    ///
    /// # Errors
    /// As [`ByName::state_of`].
    fn ema_of(&mut self, name: &str) -> Result<Option<View>, Error>;

    /// [`Optimizer::operand`].
    ///
    /// # Errors
    /// As [`ByName::state_of`].
    fn operand_of(&mut self, name: &str, of: &str) -> Result<Option<View>, Error>;
}

impl ByName for Optimizer {
    fn state_of(&mut self, name: &str, slot: &str) -> Result<View, Error> {
        let id = self.param(name)?;
        self.prepare()?;
        self.state(id, slot)
    }

    fn master_of(&mut self, name: &str) -> Result<Option<View>, Error> {
        self.operand_of(name, "low_bits")
    }

    fn ema_of(&mut self, name: &str) -> Result<Option<View>, Error> {
        let id = self.param(name)?;
        self.prepare()?;
        self.ema(id)
    }

    fn operand_of(&mut self, name: &str, of: &str) -> Result<Option<View>, Error> {
        let id = self.param(name)?;
        self.prepare()?;
        self.operand(id, of)
    }
}
