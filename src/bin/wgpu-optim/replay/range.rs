//! The part of a trace that a run takes: `A..B`.

use std::ops::Range;
use std::str::FromStr;

/// A range of gradients, each end of which may be open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Steps {
    from: Option<u64>,
    to: Option<u64>,
}

impl FromStr for Steps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no range; write A..B, as 0..10, A.. or ..B");
        let (from, to) = text.split_once("..").ok_or_else(wrong)?;
        let end = |text: &str| match text {
            "" => Ok(None),
            digits => digits.parse().map(Some).map_err(|_| wrong()),
        };
        Ok(Self { from: end(from)?, to: end(to)? })
    }
}

/// The gradient of a trace before which a checkpoint stopped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    /// It says so itself.
    Noted(u64),
    /// As many steps lie behind it, but nothing says that those were the trace's.
    Counted(u64),
}

impl Place {
    fn gradient(self) -> u64 {
        match self {
            Self::Noted(gradient) | Self::Counted(gradient) => gradient,
        }
    }
}

/// The gradients to take of a trace that has `all`, if a checkpoint stopped at a place in it.
pub(super) fn gradients(
    steps: Option<Steps>,
    place: Option<Place>,
    all: u64,
) -> Result<Range<u64>, String> {
    let Steps { from, to } = steps.unwrap_or(Steps { from: None, to: None });
    if let (Some(from), Some(Place::Noted(begins))) = (from, place)
        && from != begins
    {
        return Err(format!(
            "--steps begins at gradient {from}, but the checkpoint stopped before gradient {begins}; write {begins}.. or leave --steps out"
        ));
    }
    let range = from.or(place.map(Place::gradient)).unwrap_or(0)..to.unwrap_or(all);
    if range.end > all {
        return Err(format!("--steps ends at {}, but it records {all} gradients", range.end));
    }
    if range.start > range.end {
        return Err(format!(
            "the run would begin at gradient {} and end at {}; it records {all}",
            range.start, range.end
        ));
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::Place::{Counted, Noted};
    use super::{Steps, gradients};

    #[test]
    fn ranges_are_read() {
        let read = |text: &str| text.parse::<Steps>();
        assert_eq!(read("0..10"), Ok(Steps { from: Some(0), to: Some(10) }));
        assert_eq!(read("3.."), Ok(Steps { from: Some(3), to: None }));
        assert_eq!(read("..4"), Ok(Steps { from: None, to: Some(4) }));
        assert_eq!(read(".."), Ok(Steps { from: None, to: None }));
        for wrong in ["", "5", "a..b", "1...3", "-1..3", "1..=3"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ranges_fit_the_trace_and_the_checkpoint() {
        let of = |text: &str, place| gradients(text.parse().ok(), place, 8);
        assert_eq!(gradients(None, None, 8), Ok(0..8));
        assert_eq!(of("2..5", None), Ok(2..5));
        for place in [Noted(3), Counted(3)] {
            assert_eq!(gradients(None, Some(place), 8), Ok(3..8));
            assert_eq!(of("..5", Some(place)), Ok(3..5));
            assert_eq!(of("3..", Some(place)), Ok(3..8));
            assert_eq!(of("3..3", Some(place)), Ok(3..3));
            assert!(of("..2", Some(place)).is_err());
        }
        assert_eq!(of("2..", Some(Counted(3))), Ok(2..8));
        assert_eq!(of("4..", Some(Counted(0))), Ok(4..8));
        for (text, place) in [("0..9", None), ("5..2", None), ("2..", Some(Noted(3)))] {
            assert!(of(text, place).is_err(), "{text}");
        }
        assert!(gradients(None, Some(Counted(9)), 8).is_err());
    }
}
