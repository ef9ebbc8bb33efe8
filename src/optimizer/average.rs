//! The average that a rule may keep, and the parameters' way there and back.

use super::Optimizer;

impl Optimizer {
    /// Records moving every parameter whose rule keeps an average ([`Rule::average`](crate::Rule::average), as
    /// [`ScheduleFreeAdamw`](crate::ScheduleFreeAdamw) does) to that average, in a compute pass of its own: the
    /// weights to evaluate, export or save. Between steps, parameters are where gradients are wanted.
    ///
    /// It records nothing if the parameters are there already. Copies ([`Optimizer::set_copy`]) follow. A parameter
    /// without a taken step stays as it is.
    ///
    /// The way back ([`Optimizer::train`]) ends within a few units in the last place of where it began, and within
    /// the rounding of the format where parameters have 16 bits without a master.
    pub fn eval(&mut self, encoder: &mut wgpu::CommandEncoder) {
        self.blend(encoder, true);
    }

    /// Records moving every parameter back to where gradients are wanted, after [`Optimizer::eval`]. It records
    /// nothing if the parameters are there. A step does the same of its own accord.
    pub fn train(&mut self, encoder: &mut wgpu::CommandEncoder) {
        self.blend(encoder, false);
    }

    /// Whether parameters are at their averages: whether [`Optimizer::eval`] was the last of the two.
    pub fn is_eval(&self) -> bool {
        self.model.is_eval
    }

    fn blend(&mut self, encoder: &mut wgpu::CommandEncoder, to_average: bool) {
        if self.model.is_eval == to_average {
            return;
        }
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("wgpu-optim blend"),
            timestamp_writes: None,
        });
        self.make_ready();
        self.blend_in_pass(&mut pass, to_average);
    }

    /// Records the move. Everything is ready for a step.
    pub(super) fn blend_in_pass(&mut self, pass: &mut wgpu::ComputePass<'_>, to_average: bool) {
        self.model.is_eval = to_average;
        self.program.record_blend(&self.model, pass, to_average);
    }
}
