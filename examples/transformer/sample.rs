//! Text that the network writes.

use wgpu_optim::headless::Gpu;

use super::Result;
use super::network::Network;
use super::random::Random;
use super::text::{Schedule, character, number};

/// The exponent of the probabilities from which characters are drawn: above 1, likely ones are drawn more often.
const SHARPNESS: f64 = 1.5;

/// Goes on with `prompt` for so many characters. They overwrite the first window of the first batch in the uploaded
/// text, so the network must not be trained afterwards.
pub(crate) fn sample(
    gpu: &Gpu,
    network: &Network,
    schedule: &Schedule,
    prompt: &str,
    characters: usize,
    seed: u64,
) -> Result<String> {
    let context = network.shape.context;
    let mut random = Random::new(seed);
    let mut numbers: Vec<u32> = prompt.chars().filter_map(number).collect();
    for _ in 0..characters {
        let window = &numbers[numbers.len().saturating_sub(context)..];
        let Some(last) = window.len().checked_sub(1) else {
            return Err("a prompt needs a character".into());
        };
        network.batches.write_text(gpu, schedule.starts[0] as usize, window);
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        network.record_score(&mut encoder.begin_compute_pass(&Default::default()), 0);
        gpu.queue.submit([encoder.finish()]);
        // The characters behind the last one change nothing before it.
        numbers.push(draw(&network.logits(gpu, last)?, &mut random));
    }
    Ok(numbers.into_iter().map(character).collect())
}

/// A number by the softmax of the logits.
fn draw(logits: &[f32], random: &mut Random) -> u32 {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |logit: &f32| (SHARPNESS * f64::from(logit - top)).exp();
    let mut left = random.fraction() * logits.iter().map(weight).sum::<f64>();
    let drawn = logits.iter().position(|logit| {
        left -= weight(logit);
        left < 0.0
    });
    drawn.unwrap_or(0) as u32
}
