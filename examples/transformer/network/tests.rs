//! The gradients of a tiny network, compared with differences of its loss.

use super::super::random::Random;
use super::super::text::Text;
use super::*;

const TINY: Shape =
    Shape { vocabulary: 8, context: 4, width: 8, heads: 2, layers: 2, hidden: 12, batch: 3 };

/// The loss of the network on one window, in f64 and by the book.
struct Book<'a> {
    parameters: &'a [Parameter],
    params: &'a [f64],
}

type Rows = Vec<Vec<f64>>;

impl Book<'_> {
    fn get(&self, name: &str) -> &[f64] {
        let found = self.parameters.iter().find(|parameter| parameter.name == name);
        found.map_or(&[], |parameter| &self.params[parameter.range.clone()])
    }

    fn norm(&self, name: &str, rows: &Rows) -> Rows {
        let normed = |row: &Vec<f64>| {
            let mean = row.iter().map(|x| x * x).sum::<f64>() / row.len() as f64;
            row.iter()
                .zip(self.get(name))
                .map(|(x, gain)| gain * x / (mean + 1e-5).sqrt())
                .collect()
        };
        rows.iter().map(normed).collect()
    }

    fn linear(&self, name: &str, rows: &Rows) -> Rows {
        let product = |row: &Vec<f64>| {
            let weights = self.get(name);
            let outputs = weights.len() / row.len();
            let output =
                |n| row.iter().zip(weights[n..].iter().step_by(outputs)).map(|(x, w)| x * w);
            (0..outputs).map(|n| output(n).sum()).collect()
        };
        rows.iter().map(product).collect()
    }

    fn attention(qkv: &Rows) -> Rows {
        let (width, size) = (TINY.width, TINY.width / TINY.heads);
        let row = |t: usize| {
            let mut all = Vec::new();
            for head in 0..TINY.heads {
                let part = |t: usize, which: usize| &qkv[t][which * width + head * size..][..size];
                let score = |s| {
                    let products = part(t, 0).iter().zip(part(s, 1)).map(|(q, k)| q * k);
                    (products.sum::<f64>() / (size as f64).sqrt()).exp()
                };
                let weights: Vec<f64> = (0..=t).map(score).collect();
                let total: f64 = weights.iter().sum();
                let value = |i| weights.iter().enumerate().map(move |(s, w)| w * part(s, 2)[i]);
                all.extend((0..size).map(|i| value(i).sum::<f64>() / total));
            }
            all
        };
        (0..qkv.len()).map(row).collect()
    }

    /// The mean loss over the characters of a window, which has one more than the context.
    fn loss(&self, window: &[u32]) -> f64 {
        let width = TINY.width;
        let embedded = |(t, c): (usize, &u32)| -> Vec<f64> {
            let token = &self.get("token")[*c as usize * width..][..width];
            let position = &self.get("position")[t * width..][..width];
            token.iter().zip(position).map(|(a, b)| a + b).collect()
        };
        let mut stream: Rows = window[..TINY.context].iter().enumerate().map(embedded).collect();
        let add = |stream: &mut Rows, branch: Rows| {
            let pairs = stream.iter_mut().flatten().zip(branch.into_iter().flatten());
            pairs.for_each(|(x, y)| *x += y);
        };
        for layer in 0..TINY.layers {
            let name = |part: &str| format!("{layer}.{part}");
            let qkv = self.linear(&name("qkv"), &self.norm(&name("norm1"), &stream));
            add(&mut stream, self.linear(&name("project"), &Self::attention(&qkv)));
            let mut hidden = self.linear(&name("up"), &self.norm(&name("norm2"), &stream));
            hidden.iter_mut().flatten().for_each(|x| *x = x.max(0.0).powi(2));
            add(&mut stream, self.linear(&name("down"), &hidden));
        }
        let logits = self.linear("output", &self.norm("norm", &stream));
        let loss = |(row, next): (&Vec<f64>, &u32)| {
            row.iter().map(|logit| logit.exp()).sum::<f64>().ln() - row[*next as usize]
        };
        logits.iter().zip(&window[1..]).map(loss).sum::<f64>() / TINY.context as f64
    }
}

/// Every derivative of every parameter by central differences, so that no formula of the backward pass is trusted.
#[test]
fn gradients_are_those_of_the_loss() -> Result<()> {
    let mut random = Random::new(5);
    let text = Text::new((0..400).map(|_| (8.0 * random.fraction()) as u32).collect());
    let schedule = Schedule::new(&text, &TINY, 2, 6)?;
    let parameters = TINY.parameters();
    // Gains that differ from 1, and outputs that are strong enough to count.
    let shaken = TINY.initial(7).into_iter().map(|p| p + 0.2 * random.normal() as f32);
    let shaken: Vec<f32> = shaken.collect();

    let gpu = Gpu::headless()?;
    let network = Network::new(&gpu, TINY, &text.numbers, &schedule)?;
    network.set(&gpu, &shaken);
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    network.record_gradients(&mut pass, 1);
    drop(pass);
    gpu.queue.submit([encoder.finish()]);
    let score = f64::from(network.scores(&gpu)?[1]);
    let grads = gpu.download(&View::f32(&network.grads))?;

    let starts = &schedule.starts[TINY.batch..2 * TINY.batch];
    let windows = starts.iter().map(|start| &text.numbers[*start as usize..][..=TINY.context]);
    let windows: Vec<&[u32]> = windows.collect();
    let loss = |params: &[f64]| {
        let book = Book { parameters: &parameters, params };
        windows.iter().map(|window| book.loss(window)).sum::<f64>() / windows.len() as f64
    };
    let mut params: Vec<f64> = shaken.iter().map(|p| f64::from(*p)).collect();
    assert!((score - loss(&params)).abs() < 1e-5, "{score}, not {}", loss(&params));
    const STEP: f64 = 1e-5;
    for Parameter { name, range, .. } in &parameters {
        let mut largest = 0.0_f64;
        for i in range.clone() {
            let at = params[i];
            let [above, below] = [at + STEP, at - STEP].map(|p| {
                params[i] = p;
                loss(&params)
            });
            params[i] = at;
            let wanted = (above - below) / (2.0 * STEP);
            let got = f64::from(grads[i]);
            let bound = 1e-6 + 1e-4 * wanted.abs();
            assert!((got - wanted).abs() < bound, "{name}, element {i}: {got}, not {wanted}");
            largest = largest.max(wanted.abs());
        }
        assert!(largest > 1e-3, "{name}: a gradient of nothing proves nothing: {largest}");
    }
    Ok(())
}
