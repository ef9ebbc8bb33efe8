//! Errors of state in blocks.

/// A fault in a call about state in blocks ([`StateFormat`](crate::StateFormat)).
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// A format is given for a slot that the rule does not keep.
    #[error(
        "`{rule}`: `state_format` names `{slot}`, which is no slot of it; name {known} or leave it out"
    )]
    NamedSlot {
        /// The rule.
        rule: &'static str,
        /// The slot that is named.
        slot: String,
        /// The slots that there are, in words.
        known: String,
    },

    /// A slot that is asked for as numbers is stored in blocks.
    #[error(
        "the `{slot}` of `{name}` is stored in {format}; `Optimizer::state_blocks` has its place"
    )]
    InBlocks {
        /// The parameter.
        name: String,
        /// The slot.
        slot: String,
        /// The format.
        format: &'static str,
    },

    /// A slot that is asked for in blocks is stored as numbers.
    #[error("the `{slot}` of `{name}` is stored in {format}; `Optimizer::state` has its place")]
    NotInBlocks {
        /// The parameter.
        name: String,
        /// The slot.
        slot: String,
        /// The format.
        format: &'static str,
    },
}
