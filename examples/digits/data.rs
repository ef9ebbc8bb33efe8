//! The images, and the order in which the network sees them.

use std::io::Read;
use std::ops::Range;

use flate2::read::GzDecoder;

use super::Result;
use super::network::{CLASSES, INPUTS};
use super::random::Random;

/// Where they come from, and under which license, says `data/README.md`.
const CSV_GZ: &[u8] = include_bytes!("data/digits.csv.gz");

/// The largest value of a pixel in the file.
const WHITE: f32 = 16.0;

/// Handwritten digits of 8×8 pixels, shuffled once; the first of them are for training.
pub(crate) struct Digits {
    /// Pixel after pixel, image after image, each from 0 to 1.
    pub(crate) images: Vec<f32>,
    /// The digit that each image shows.
    pub(crate) labels: Vec<u32>,
    /// Which images the network learns from: four in five.
    pub(crate) train: Range<u32>,
    /// Which images only measure what it has learned.
    pub(crate) test: Range<u32>,
}

impl Digits {
    /// The file's images, in an order that depends on the seed.
    pub(crate) fn load(seed: u64) -> Result<Self> {
        let mut csv = String::new();
        GzDecoder::new(CSV_GZ).read_to_string(&mut csv)?;
        let mut rows = csv
            .lines()
            .enumerate()
            .map(|(i, line)| row(line).map_err(|e| format!("digits.csv, line {}: {e}", i + 1)))
            .collect::<Result<Vec<_>, _>>()?;
        // Neighbours in the file often come from the same hand. Shuffled, the held-out fifth shows
        // new images by known writers.
        Random::new(seed).shuffle(&mut rows);

        let count = u32::try_from(rows.len())?;
        let train = count * 4 / 5;
        Ok(Self {
            images: rows.iter().flat_map(|(pixels, _)| pixels).copied().collect(),
            labels: rows.iter().map(|&(_, label)| label).collect(),
            train: 0..train,
            test: train..count,
        })
    }
}

/// One line of the file: the pixels, then the digit.
fn row(line: &str) -> Result<([f32; INPUTS], u32)> {
    let numbers = line
        .split(',')
        .map(|number| number.parse::<u32>().map_err(|e| format!("`{number}`: {e}")))
        .collect::<Result<Vec<_>, _>>()?;
    let Some((&label, pixels)) = numbers.split_last() else {
        return Err("it is empty".into());
    };
    let pixels = <[u32; INPUTS]>::try_from(pixels)
        .map_err(|_| format!("{} pixels; an image has {INPUTS}", pixels.len()))?;
    if label as usize >= CLASSES {
        return Err(format!("the label is {label}, which is not a digit").into());
    }
    Ok((pixels.map(|pixel| pixel as f32 / WHITE), label))
}

/// Consecutive places in [`Schedule::order`]. As `Batch` in `shaders/network.wgsl`.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct Batch {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

/// Which images every step of a training sees, so that all trainings can see the same.
pub(crate) struct Schedule {
    /// The training images once for each epoch, each time in another order, then the test images.
    pub(crate) order: Vec<u32>,
    /// The images that are worked on at once: the mini-batches of every epoch, then all test images.
    pub(crate) batches: Vec<Batch>,
    pub(crate) epochs: usize,
}

impl Schedule {
    /// `epochs` times all training images, in batches of `batch`; an epoch's last may be smaller.
    pub(crate) fn new(digits: &Digits, epochs: usize, batch: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut images: Vec<u32> = digits.train.clone().collect();
        let mut schedule = Self { order: Vec::new(), batches: Vec::new(), epochs };
        for _ in 0..epochs {
            random.shuffle(&mut images);
            images.chunks(batch).for_each(|images| schedule.push(images));
        }
        schedule.push(&digits.test.clone().collect::<Vec<_>>());
        schedule
    }

    fn push(&mut self, images: &[u32]) {
        let first = self.order.len() as u32;
        self.batches.push(Batch { first, count: images.len() as u32 });
        self.order.extend_from_slice(images);
    }

    /// The batches of an epoch, by index; epochs count from 0.
    pub(crate) fn epoch(&self, epoch: usize) -> Range<usize> {
        let steps = (self.batches.len() - 1) / self.epochs;
        epoch * steps..(epoch + 1) * steps
    }

    /// The batch of all test images, by index.
    pub(crate) fn test(&self) -> usize {
        self.batches.len() - 1
    }

    /// The places in [`Schedule::order`] that consecutive batches cover.
    pub(crate) fn places(&self, batches: Range<usize>) -> Range<usize> {
        let batches = &self.batches[batches];
        let first = batches.first().map_or(0, |batch| batch.first as usize);
        let count: usize = batches.iter().map(|batch| batch.count as usize).sum();
        first..first + count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_images_are_there_and_a_fifth_is_held_out() -> Result<()> {
        let digits = Digits::load(1)?;
        assert_eq!(digits.images.len(), 1797 * INPUTS);
        assert!(digits.images.iter().all(|pixel| (0.0..=1.0).contains(pixel)));
        assert_eq!((digits.train, digits.test), (0..1437, 1437..1797));

        let counts = (0..10).map(|d| digits.labels.iter().filter(|&&label| label == d).count());
        // As the data set's description has them.
        assert_eq!(counts.collect::<Vec<_>>(), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        Ok(())
    }

    #[test]
    fn every_epoch_shows_every_training_image_once() -> Result<()> {
        let digits = Digits::load(1)?;
        let schedule = Schedule::new(&digits, 3, 32, 2);
        for epoch in 0..3 {
            let batches = schedule.epoch(epoch);
            assert_eq!(batches.len(), 45);
            assert_eq!(schedule.batches[batches.clone()].last().map(|b| b.count), Some(29));
            let places = schedule.places(batches);
            let mut seen = schedule.order[places].to_vec();
            assert_ne!(seen, digits.train.clone().collect::<Vec<_>>());
            seen.sort_unstable();
            assert_eq!(seen, digits.train.clone().collect::<Vec<_>>());
        }
        let test = schedule.test();
        let places = schedule.places(test..test + 1);
        assert_eq!(places.clone(), 3 * 1437..3 * 1437 + 360);
        assert_eq!(schedule.order[places], digits.test.clone().collect::<Vec<_>>()[..]);
        Ok(())
    }

    #[test]
    fn a_line_that_is_no_image_says_what_is_wrong() {
        let message = |line: &str| row(line).err().map(|e| e.to_string());
        assert_eq!(message("1,2,3"), Some("2 pixels; an image has 64".to_owned()));
        assert_eq!(message("1,x"), Some("`x`: invalid digit found in string".to_owned()));
        let pixels = "0,".repeat(64);
        assert_eq!(
            message(&format!("{pixels}10")),
            Some("the label is 10, which is not a digit".to_owned())
        );
    }
}
