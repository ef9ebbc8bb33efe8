//! Ways in which the simulation can be wrong, each of which the programs must notice.

/// One mistake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mutation {
    NoBiasCorrection,
    BetasSwapped,
    EpsilonsSwapped,
    DampenedFirst,
    DecayCoupled,
    MaximizeIgnored,
    RateOfFirstGroup,
    ClipIgnored,
    ClipOfOneParameter,
    ClipBeforeScale,
    LargestForEuclidean,
    SkippedCounts,
    SkippedForgets,
    NothingSkipped,
    ClockOfGroup,
    EmaWithoutDebias,
    EmaOfOldParameter,
    SumForMean,
    MeanOfSubmitted,
    SumsGoOn,
    NothingCleared,
    ClearedWithSums,
    ScaleIgnored,
    ScaleAtOnce,
    GrowthIsLate,
    OldGradient,
    DroppedNotCounted,
    NoneIsZero,
    NoneClockRuns,
}

impl Mutation {
    pub(crate) const ALL: [Self; 29] = [
        Self::NoBiasCorrection,
        Self::BetasSwapped,
        Self::EpsilonsSwapped,
        Self::DampenedFirst,
        Self::DecayCoupled,
        Self::MaximizeIgnored,
        Self::RateOfFirstGroup,
        Self::ClipIgnored,
        Self::ClipOfOneParameter,
        Self::ClipBeforeScale,
        Self::LargestForEuclidean,
        Self::SkippedCounts,
        Self::SkippedForgets,
        Self::NothingSkipped,
        Self::ClockOfGroup,
        Self::EmaWithoutDebias,
        Self::EmaOfOldParameter,
        Self::SumForMean,
        Self::MeanOfSubmitted,
        Self::SumsGoOn,
        Self::NothingCleared,
        Self::ClearedWithSums,
        Self::ScaleIgnored,
        Self::ScaleAtOnce,
        Self::GrowthIsLate,
        Self::OldGradient,
        Self::DroppedNotCounted,
        Self::NoneIsZero,
        Self::NoneClockRuns,
    ];

    /// Whether programs can show it with what the library does so far.
    pub(crate) fn can_show(self) -> bool {
        use super::calls::{DROPPED_ENCODERS, GRADIENTS_MAY_BE_NONE};
        match self {
            Self::DroppedNotCounted | Self::MeanOfSubmitted => DROPPED_ENCODERS,
            Self::NoneIsZero | Self::NoneClockRuns => GRADIENTS_MAY_BE_NONE,
            _ => true,
        }
    }
}
