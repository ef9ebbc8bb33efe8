//! This module steps groups on the CPU in f64, one element at a time. Tests compare every kernel that they run with
//! it.

use crate::error::Error;
use crate::group::Group;
use crate::rule::{Evaluate, Memory, Past, slot_names};

use super::quantized::{Coded, Quantize};

/// One parameter under one group, in f64: what a GPU would compute with exact arithmetic, and without
/// rounding anything to 16 bits. State in blocks ([`Group::state_format`]) is encoded after each step; codes that are
/// chosen at random ([`Group::stochastic_state`]) are those of a parameter at the start of its buffer.
///
/// ```
/// use wgpu_optim::{Group, Reference};
///
/// let mut w = Reference::new(&Group::adam(1e-3), &[1.0, -2.0])?;
/// w.step(&[0.5, -0.25])?;
/// assert!((w.param()[0] - 0.999).abs() < 1e-12); // Adam's first step is lr, whatever the gradient
/// assert_eq!(w.state("exp_avg").unwrap()[0], (1.0 - 0.9) * 0.5);
/// # Ok::<(), wgpu_optim::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reference<N = f64> {
    group: Group,
    param: Vec<N>,
    /// The state, element after element, and for each element slot after slot.
    state: Vec<N>,
    /// The codes of the slots in blocks.
    coded: Vec<Coded>,
    /// The average of the parameter; empty if none is kept.
    average: Vec<N>,
    t: u64,
    memory: Memory,
    /// Whether the parameter is at the average that its rule keeps.
    is_eval: bool,
}

impl Reference<f64> {
    /// A parameter at its initial value, with all state zero.
    ///
    /// # Errors
    /// Every error of [`Group::check`].
    pub fn new(group: &Group, param: &[f64]) -> Result<Self, Error> {
        Self::starting(group, param, 0.0)
    }
}

#[expect(
    private_bounds,
    reason = "`Evaluate` is how each arithmetic asks a rule, `Quantize` how it encodes; the arithmetics are public"
)]
impl<N: Evaluate + Quantize> Reference<N> {
    /// A parameter in another arithmetic, with that arithmetic's zero.
    ///
    /// # Errors
    /// Every error of [`Group::check`].
    pub fn starting(group: &Group, param: &[N], zero: N) -> Result<Self, Error> {
        group.check()?;
        let state = vec![zero; param.len() * group.rule.slots().len()];
        let average = vec![zero; group.ema.map_or(0, |_| param.len())];
        Ok(Self {
            group: group.clone(),
            param: param.to_vec(),
            state,
            coded: Coded::all(group, param.len()),
            average,
            t: 0,
            memory: Memory::default(),
            is_eval: false,
        })
    }

    /// One step.
    ///
    /// # Errors
    /// If `grad` is not as long as the parameter; then nothing has changed.
    pub fn step(&mut self, grad: &[N]) -> Result<(), Error> {
        let (param, grads) = (self.param.len() as u64, grad.len() as u64);
        if param != grads {
            let name = "reference".to_owned();
            return Err(Error::LengthMismatch { name, param, grad: grads });
        }
        self.train();
        self.t += 1;
        let group = self.group.now(self.t);
        let at = group.noted_at(self.t, &mut self.memory);
        let slots = group.rule.slots().len();
        let mut none: [N; 0] = [];
        for (i, (p, &g)) in self.param.iter_mut().zip(grad).enumerate() {
            let state = match slots {
                0 => &mut none[..],
                _ => &mut self.state[i * slots..(i + 1) * slots],
            };
            *p = group.update(*p, g, state, at);
        }
        let random = self.group.stochastic_state.map(|seed| (seed, self.t));
        for coded in &mut self.coded {
            coded.encode(&mut self.state, slots, random);
        }
        for (average, &p) in self.average.iter_mut().zip(&self.param) {
            *average = self.group.average(*average, p, self.t);
        }
        Ok(())
    }

    /// Another learning rate from the next step on.
    ///
    /// # Errors
    /// If it is not a finite number, 0 or more.
    pub fn set_lr(&mut self, lr: f64) -> Result<(), Error> {
        let group = self.group.clone().lr(lr);
        group.check_rate()?;
        self.group = group;
        Ok(())
    }

    /// Moves the parameter to the average that its rule keeps, as [`Optimizer::eval`](crate::Optimizer::eval).
    pub fn eval(&mut self) {
        self.blend(true);
    }

    /// Moves the parameter back, as [`Optimizer::train`](crate::Optimizer::train). A step does so of its own accord.
    pub fn train(&mut self) {
        self.blend(false);
    }

    fn blend(&mut self, to_average: bool) {
        let Some(average) = self.group.rule.average().filter(|_| self.is_eval != to_average) else {
            return;
        };
        self.is_eval = to_average;
        let slots = self.group.rule.slots().len();
        if self.t == 0 {
            return;
        }
        let towards = self.state.iter().skip(average.slot).step_by(slots);
        for (p, &slot) in self.param.iter_mut().zip(towards) {
            *p = average.blend(*p, slot, to_average);
        }
    }

    /// Sets the steps taken: for `wgpu-optim replay`.
    #[doc(hidden)]
    pub fn set_steps(&mut self, steps: u64) {
        self.t = steps;
    }

    /// The last learning rate and what the rule remembers: for `wgpu-optim replay`.
    #[doc(hidden)]
    pub fn memory(&self) -> (Option<f64>, Option<Past>) {
        (self.memory.rate, self.memory.past)
    }

    /// Sets the last learning rate and what the rule remembers: for `wgpu-optim replay`.
    #[doc(hidden)]
    pub fn set_memory(&mut self, (rate, past): (Option<f64>, Option<Past>)) {
        self.memory = Memory { rate, past };
    }

    /// Sets the numbers of a slot, or of the average: for `wgpu-optim replay`. False if the parameter keeps
    /// none such, or if it has not as many elements.
    #[doc(hidden)]
    pub fn resume(&mut self, slot: Option<&str>, numbers: &[N]) -> bool {
        if numbers.len() != self.param.len() {
            return false;
        }
        let Some(slot) = slot else {
            if self.group.ema.is_some() {
                self.average.copy_from_slice(numbers);
            }
            return self.group.ema.is_some();
        };
        let Some((at, slots)) = self.place_of(slot) else { return false };
        let places = self.state.iter_mut().skip(at).step_by(slots);
        places.zip(numbers).for_each(|(place, number)| *place = *number);
        if let Some(coded) = self.coded.iter_mut().find(|coded| coded.is_of(at)) {
            coded.encode(&mut self.state, slots, None);
        }
        true
    }

    /// Sets the codes and scales of a slot in blocks: for `wgpu-optim replay`. False if the slot is not in blocks, or
    /// if they are not those of as many elements.
    #[doc(hidden)]
    pub fn resume_codes(&mut self, slot: &str, codes: &[u8], scales: &[f32]) -> bool {
        let Some((at, slots)) = self.place_of(slot) else { return false };
        let Some(coded) = self.coded.iter_mut().find(|coded| coded.is_of(at)) else { return false };
        let fits = coded.set(codes, scales);
        coded.decode(&mut self.state, slots);
        fits
    }

    /// The number of a slot, and that of all slots.
    fn place_of(&self, slot: &str) -> Option<(usize, usize)> {
        let slots = slot_names(&*self.group.rule);
        Some((slots.iter().position(|known| *known == slot)?, slots.len()))
    }

    /// The parameter as it is now.
    pub fn param(&self) -> &[N] {
        &self.param
    }

    /// The parameter's average ([`Group::ema`]), or `None` if none is kept.
    pub fn ema(&self) -> Option<&[N]> {
        self.group.ema.map(|_| &*self.average)
    }

    /// A slot of the state by its PyTorch name, or `None` if the rule keeps no such slot.
    pub fn state(&self, slot: &str) -> Option<Vec<N>> {
        let (at, slots) = self.place_of(slot)?;
        Some(self.state.iter().skip(at).step_by(slots).copied().collect())
    }

    /// The codes and the scales of a slot that is stored in blocks, as [`BlockCode::encode_all`] has them; `None` if
    /// the rule keeps no such slot, or keeps it as numbers.
    ///
    /// [`BlockCode::encode_all`]: crate::BlockCode::encode_all
    pub fn codes(&self, slot: &str) -> Option<(Vec<u8>, Vec<f32>)> {
        let (at, _) = self.place_of(slot)?;
        self.coded.iter().find(|coded| coded.is_of(at)).map(Coded::parts)
    }
}
