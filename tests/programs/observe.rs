//! Downloads numbers and statistics from the device.

use support::ByName;
use wgpu_optim::View;

use super::check::{Kept, Observed, Tally};
use super::runner::{Outcome, Pack, Runner};
use super::simulation::Simulation;

impl Runner<'_> {
    /// Whether the device is compared with the simulation.
    pub(crate) fn compares(&self) -> bool {
        !self.how.lenient && !self.how.refills && self.how.pack == Pack::AsWritten
    }

    /// Compares everything.
    pub(crate) fn check(&mut self) -> Outcome {
        if !self.compares() {
            return Ok(());
        }
        let found = self.observe()?;
        let mut tally = self.tally;
        self.right().check(&found, &mut tally)?;
        self.tally = tally;
        self.notice(|wrong| wrong.check(&found, &mut Tally::default()));
        Ok(())
    }

    fn notice(&mut self, check: impl Fn(&Simulation) -> Outcome) {
        for (noticed, wrong) in self.noticed.iter_mut().zip(&self.simulations[1..]) {
            *noticed |= check(wrong).is_err();
        }
    }

    /// Statistics of what is submitted.
    pub(crate) fn stats(&mut self) -> Outcome {
        let stats = self.optimizer.stats(&self.queue);
        let Some(gpu) = self.gpu.filter(|_| self.compares()) else { return Ok(()) };
        gpu.wait().map_err(|e| e.to_string())?;
        let stats = pollster::block_on(stats).ok();
        self.right().check_stats(stats.as_ref())?;
        self.notice(|wrong| wrong.check_stats(stats.as_ref()));
        Ok(())
    }

    /// Where the slots and the average of a parameter are.
    fn kept(&mut self, i: usize) -> Outcome<(Vec<View>, Option<View>)> {
        let host = &self.right().host;
        let slots = host.groups[host.params[i].group].spec.rule.slots();
        let name = format!("w{i}");
        let slots = slots.iter().map(|slot| self.optimizer.state_of(&name, slot));
        let slots: Result<_, _> = slots.collect();
        let ema = self.optimizer.ema_of(&name).map_err(|e| e.to_string())?;
        Ok((slots.map_err(|e| e.to_string())?, ema))
    }

    fn observe(&mut self) -> Outcome<Observed> {
        let mut views: Vec<View> = self.store.buffers.iter().map(View::f32).collect();
        let mut counts = Vec::new();
        for i in 0..self.params.len() {
            // State is there before, but asking for it would allocate it for each parameter apart.
            let (slots, ema) = match self.right().host.params[i].recorded {
                0 => (Vec::new(), None),
                _ => self.kept(i)?,
            };
            counts.push((slots.len(), ema.is_some()));
            views.extend(slots);
            views.extend(ema);
        }
        let scale = self.optimizer.loss_scale();
        views.extend(scale.clone());
        let mut all = self.download(&views)?.into_iter();
        let words = all.by_ref().take(self.store.buffers.len());
        let words = words.map(|numbers| numbers.into_iter().map(f32::to_bits).collect()).collect();
        let kept = counts.into_iter().map(|(slots, averaged)| {
            let slots = all.by_ref().take(slots).collect();
            Kept { slots, ema: if averaged { all.next() } else { None } }
        });
        let kept = kept.collect();
        let scale = scale.and_then(|_| all.next()?.first().copied());
        Ok(Observed { words, kept, scale })
    }

    fn download(&self, views: &[View]) -> Outcome<Vec<Vec<f32>>> {
        let Some(gpu) = self.gpu else { return Err("nothing to download from".to_owned()) };
        gpu.download_all(views).map_err(|e| e.to_string())
    }

    /// Parameters, copies, slots and averages, as bits.
    pub(crate) fn bits(&mut self) -> Outcome<Vec<Vec<u32>>> {
        let mut views = Vec::new();
        for i in 0..self.params.len() {
            let param = &self.right().host.params[i];
            let spots = [Some(param.param), param.copy].into_iter().flatten();
            views.extend(spots.map(|spot| self.store.view(&spot)));
            let (slots, ema) = self.kept(i)?;
            views.extend(slots.into_iter().chain(ema));
        }
        let all = self.download(&views)?;
        Ok(all.into_iter().map(|numbers| numbers.into_iter().map(f32::to_bits).collect()).collect())
    }
}
