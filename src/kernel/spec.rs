//! This module has the key of a kernel: everything that decides its text, its layout and its switches.

use crate::model::{Body, Grads, OPERANDS, RuleKey, Spec, Variable, Weight, keeps, variables};
use crate::num::{Format, Master};
use crate::plan::Width;

/// The way in which workgroups find their elements.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Address {
    /// By a uniform, which has the place of one run of numbers.
    Direct,
    /// By a table, which has the places of many runs.
    Table,
    /// By a table that may change at every step, because gradients move. Gradients have a bind group of their own.
    Moving,
}

impl Address {
    pub(crate) const ALL: [Self; 3] = [Self::Direct, Self::Table, Self::Moving];

    /// The bind group of the gradients.
    pub(crate) fn grad_group(self) -> u32 {
        if self == Self::Moving { 2 } else { 0 }
    }

    /// The number of bind groups.
    pub(crate) fn groups(self) -> u32 {
        if self == Self::Moving { 3 } else { 2 }
    }
}

/// Everything that decides a kernel.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct KernelSpec {
    pub(crate) spec: Spec,
    pub(crate) width: Width,
    pub(crate) address: Address,
}

impl KernelSpec {
    pub(crate) fn entry_point(&self) -> &'static str {
        match self.spec.body {
            Body::Update | Body::Stream => "update",
            Body::Blend => "blend",
            Body::Accumulate => "accumulate",
            Body::Norm => "norm",
        }
    }

    pub(crate) fn variables(&self) -> Vec<Variable> {
        variables(&self.spec)
    }

    /// The bind group of a variable.
    pub(crate) fn group(&self, variable: &Variable) -> u32 {
        match OPERANDS[variable.operand].column() {
            Some(crate::plan::GRAD) => self.address.grad_group(),
            _ => 0,
        }
    }

    /// The binding of a variable in its group.
    pub(crate) fn binding(&self, variable: &Variable) -> u32 {
        if self.group(variable) == 0 { variable.binding } else { 0 }
    }

    /// The binding of a buffer that is no operand. These bindings come behind those of all operands, in order.
    pub(crate) fn extra(&self, number: u32) -> u32 {
        crate::model::FIRST_BINDING + self.variables().len() as u32 + number
    }

    /// The values of the kernel's `override` switches.
    pub(crate) fn switches(&self) -> Vec<(&'static str, bool)> {
        let Spec { body, rule, clip_value, cautious, .. } = &self.spec;
        let mut switches = match (body, rule) {
            (Body::Update | Body::Stream | Body::Blend, Some(rule)) => rule.switches().to_vec(),
            _ => Vec::new(),
        };
        let after = rule.as_ref().is_some_and(RuleKey::decays_after);
        let of_the_driver = [
            ("CLIP_VALUE", *clip_value && matches!(body, Body::Update | Body::Norm)),
            ("CAUTIOUS", *cautious && *body == Body::Update),
            ("DECAY_AFTER", after && *body == Body::Update),
        ];
        switches.extend(of_the_driver.into_iter().filter(|(_, on)| *on));
        switches
    }

    /// Whether the binding of gradients may be written.
    pub(crate) fn writes_grads(&self) -> bool {
        self.spec.clear || self.spec.grads != Grads::Own
    }

    /// The kernel's name: the rule or the body, the switches that are on, and the choices that differ from the
    /// plainest kernel. No other kernel has the same name.
    pub(crate) fn name(&self) -> String {
        let Self { spec, width, address, .. } = self;
        let mut name = match (&spec.rule, spec.body) {
            (Some(rule), Body::Update | Body::Stream | Body::Blend) => rule.name().to_owned(),
            (_, body) => format!("{body:?}").to_lowercase(),
        };
        let on = self
            .switches()
            .into_iter()
            .filter(|(name, on)| *on && !["CLIP_VALUE", "CAUTIOUS"].contains(name));
        name.extend(on.map(|(switch, _)| format!("-{switch}")));
        let start = |rule: &RuleKey, slot| match slot {
            _ if rule.starts_at_zero(slot) => '0',
            _ if rule.starts_at_param(slot) => 'p',
            _ => 'n',
        };
        let rule = spec.rule.as_ref().filter(|_| spec.is_step());
        let starts: String = (rule.into_iter())
            .flat_map(|rule| (0..rule.slots()).map(move |slot| start(rule, slot)))
            .collect();
        let mut rest = format!("-{width:?}-{address:?}-{:?}", spec.grads);
        let mut add = |word: &str, is: bool| {
            if is {
                rest += &format!("-{word}");
            }
        };
        add(&format!("start_{starts}"), starts.contains(['n', 'p']));
        add("cleared", spec.clear);
        add("summed", spec.summed);
        match spec.weight {
            Weight::Plain => {}
            Weight::Stochastic => add("stochastic", true),
            Weight::Mastered(Master::Remainder) => add("remainder", true),
            Weight::Mastered(_) => add("master", true),
        }
        if let Some(copy) = spec.copy {
            add(&format!("{}_copy", copy.name()), true);
        }
        for operand in OPERANDS.iter().filter(|operand| keeps(spec, operand.name)) {
            add(operand.name, true);
        }
        let state = spec.state.plain();
        let formats = [spec.param, spec.grad, state.unwrap_or_default()];
        match spec.body {
            Body::Update | Body::Stream | Body::Blend => {
                let shown = if state.is_some() { 3 } else { 2 };
                let plainest = state.is_some() && formats == [Format::F32; 3];
                formats[..shown].iter().for_each(|f| add(f.name(), !plainest));
                let slots = spec.slots();
                let codes: Vec<String> = (0..slots).map(|k| spec.state.get(k).name()).collect();
                add(&codes.join("_"), state.is_none());
                add("random_codes", spec.dithers);
            }
            _ => add(spec.grad.name(), true),
        }
        add("clip", spec.clip_value);
        add("cautious", spec.cautious);
        if spec.is_step() {
            add(&format!("{:?}", spec.body), true);
        }
        // Switches stay in upper case, so that readers can tell them from the kernel's own choices.
        name + &rest.to_lowercase()
    }

    /// Whether a kernel without gradients can have these choices.
    fn can_blend(&self) -> bool {
        let Spec { rule, weight, kept, grads, clear, summed, clip_value, cautious, .. } =
            &self.spec;
        rule.as_ref().is_some_and(|rule| rule.averaged().is_some())
            && self.address != Address::Moving
            && self.width != Width::Loose
            && *weight != Weight::Stochastic
            && *kept == 0
            && *grads == Grads::Own
            && ![clear, summed, clip_value, cautious].into_iter().any(|on| *on)
    }

    /// Whether these choices can occur together.
    pub(crate) fn can_be(&self) -> bool {
        let Spec { param, copy, weight, .. } = &self.spec;
        let joined = self.spec.grads == Grads::Joined;
        let loose = self.width == Width::Loose;
        let weighed = match (weight, copy) {
            (Weight::Plain, None) => true,
            (Weight::Plain, Some(copy)) => *param == Format::F32 && *copy != Format::F32,
            (_, Some(_)) => false,
            (Weight::Stochastic | Weight::Mastered(Master::F32), _) => *param != Format::F32,
            (Weight::Mastered(Master::Remainder), _) => *param == Format::Bf16,
            (Weight::Mastered(Master::None), _) => false,
        };
        weighed
            && (!self.spec.dithers || (self.spec.body == Body::Update && self.spec.in_blocks()))
            && !(joined && (loose || *param != self.spec.grad))
            && !(self.address == Address::Moving && self.spec.grads != Grads::Own)
            && !(self.spec.summed && (self.spec.clear || self.spec.grads != Grads::Own))
            && !(self.spec.summed && self.spec.grad != Format::F32)
            && (self.spec.body != Body::Blend || self.can_blend())
    }
}
