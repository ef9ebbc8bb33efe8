//! The text, and the windows of it that the network sees.

use std::ops::Range;

use super::Result;
use super::random::Random;
use super::shape::Shape;

/// The prose of this project's documents at one time, in ASCII, so that results do not change with the documents.
const TEXT: &str = include_str!("data/text.txt");

/// The characters of the vocabulary: printable ASCII from the space on, then the end of a line.
pub(crate) const CHARACTERS: usize = 96;

/// The number of a character in the vocabulary, if it has one.
pub(crate) fn number(character: char) -> Option<u32> {
    match character {
        '\n' => Some(CHARACTERS as u32 - 1),
        ' '..='~' => Some(u32::from(character) - u32::from(' ')),
        _ => None,
    }
}

/// The character with a number of the vocabulary.
pub(crate) fn character(number: u32) -> char {
    let printable = u8::try_from(number + u32::from(' ')).ok().filter(u8::is_ascii);
    printable.filter(|_| number + 1 != CHARACTERS as u32).map_or('\n', char::from)
}

/// A text, as the numbers of its characters.
pub(crate) struct Text {
    pub(crate) numbers: Vec<u32>,
    /// The part that the network learns from: the first nine tenths.
    pub(crate) train: Range<usize>,
    /// The part that only measures what it has learned.
    pub(crate) validation: Range<usize>,
}

impl Text {
    /// The text of the example.
    pub(crate) fn load() -> Result<Self> {
        let number = |(place, character)| {
            let wrong = || format!("text.txt, character {place}: `{character}` is not in ASCII");
            number(character).ok_or_else(wrong)
        };
        let numbers = TEXT.chars().enumerate().map(number).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::new(numbers))
    }

    pub(crate) fn new(numbers: Vec<u32>) -> Self {
        let (train, all) = (numbers.len() * 9 / 10, numbers.len());
        Self { numbers, train: 0..train, validation: train..all }
    }

    /// The loss on the validation part of a model that knows nothing but how frequent each character is in the
    /// training part. Every character counts once more than it is there, so that none is impossible.
    pub(crate) fn unigram_loss(&self) -> f64 {
        let mut counts = [1.0; CHARACTERS];
        for number in &self.numbers[self.train.clone()] {
            counts[*number as usize] += 1.0;
        }
        let total: f64 = counts.iter().sum();
        let validation = &self.numbers[self.validation.clone()];
        let losses = validation.iter().map(|number| (total / counts[*number as usize]).ln());
        losses.sum::<f64>() / validation.len() as f64
    }
}

/// A batch: its windows begin at `starts[first]`, `starts[first + 1]`, …. As `Batch` in `shaders/network.wgsl`.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct Batch {
    pub(crate) first: u32,
    /// Where the batch's mean loss goes.
    pub(crate) score: u32,
}

/// All batches of a training and its evaluations.
pub(crate) struct Schedule {
    /// Where windows begin in the text.
    pub(crate) starts: Vec<u32>,
    /// The batches of all steps, then those of one evaluation.
    pub(crate) batches: Vec<Batch>,
    pub(crate) steps: usize,
}

impl Schedule {
    /// `steps` batches at random places of the training part, and as many as cover the validation part once.
    pub(crate) fn new(text: &Text, shape: &Shape, steps: usize, seed: u64) -> Result<Self> {
        let Shape { batch, context, .. } = *shape;
        // A window is followed by the character that its last one is to predict.
        let places =
            |part: &Range<usize>| part.start as u32..part.end.saturating_sub(context) as u32;
        let mut train: Vec<u32> = places(&text.train).collect();
        let validation: Vec<u32> = places(&text.validation).step_by(context).collect();
        let evaluations = validation.len() / batch;
        if train.is_empty() || evaluations == 0 {
            let characters = text.numbers.len();
            return Err(format!("a text of {characters} characters is too short").into());
        }
        Random::new(seed).shuffle(&mut train);
        let mut starts: Vec<u32> = train.into_iter().cycle().take(steps * batch).collect();
        starts.extend(&validation[..evaluations * batch]);
        let batches = (0..(steps + evaluations) as u32)
            .map(|score| Batch { first: score * batch as u32, score })
            .collect();
        Ok(Self { starts, batches, steps })
    }

    /// The batches of an evaluation, by index.
    pub(crate) fn validation(&self) -> Range<usize> {
        self.steps..self.batches.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_in_the_vocabulary() -> Result<()> {
        let text = Text::load()?;
        assert!(text.numbers.iter().map(|number| character(*number)).eq(TEXT.chars()));
        assert!((2.5..3.5).contains(&text.unigram_loss()), "{}", text.unigram_loss());
        Ok(())
    }

    #[test]
    fn no_window_of_a_step_reaches_into_the_validation_part() -> Result<()> {
        let text = Text::load()?;
        let shape = Shape::EXAMPLE;
        let schedule = Schedule::new(&text, &shape, 50, 1)?;
        let (train, validation) = schedule.starts.split_at(50 * shape.batch);
        let end = |start: &u32| *start as usize + shape.context;
        assert!(train.iter().all(|start| end(start) < text.train.end));
        assert!(validation.iter().all(|start| text.validation.contains(&(*start as usize))));
        assert!(validation.iter().all(|start| end(start) < text.numbers.len()));
        assert_eq!(validation.len(), schedule.validation().len() * shape.batch);
        Ok(())
    }
}
