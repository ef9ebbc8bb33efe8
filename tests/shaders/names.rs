//! A rule's name stands in a comment of its kernels, and cannot end that comment.

use wgpu_optim::kernel::{Kernel, kernels_of};
use wgpu_optim::{Adam, At, Error, Formula, Group, Number, Rule, Scalar, Slot};

#[test]
fn no_name_of_a_rule_is_compiled() {
    let group = |name, wgsl| Group::new(1e-3, Named { name, wgsl });
    let lines = |group: &Group| -> Vec<Vec<String>> {
        let code = |kernel: Kernel| {
            let lines = kernel.wgsl.split(BREAKS).filter(|line| !line.starts_with("//"));
            lines.map(str::to_owned).collect()
        };
        kernels_of(group).into_iter().map(code).collect()
    };
    let own = Adam::default().wgsl();
    let other: &'static str = Box::leak(format!("{own}\n").into_boxed_str());
    for wgsl in [own, other] {
        let plain = lines(&group("plain", wgsl));
        for end in BREAKS {
            let name = format!("adam{end}const TOTAL = 1u;");
            assert_eq!(lines(&group(Box::leak(name.into_boxed_str()), wgsl)), plain, "{end:?}");
        }
    }
}

/// The characters that end a line in WGSL, and with it a comment.
const BREAKS: [char; 7] = ['\n', '\u{b}', '\u{c}', '\r', '\u{85}', '\u{2028}', '\u{2029}'];

/// Adam under another name, and perhaps with another text.
#[derive(Clone, Debug)]
struct Named {
    name: &'static str,
    wgsl: &'static str,
}

impl Formula for Named {
    fn direction<N: Number>(&self, p: N, g: N, state: &mut [N], at: At) -> N {
        Adam::default().direction(p, g, state, at)
    }
}

impl Rule for Named {
    fn name(&self) -> &'static str {
        self.name
    }

    fn wgsl(&self) -> &'static str {
        self.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        Adam::default().slots()
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        Adam::default().switches()
    }

    fn hyper(&self) -> Vec<Scalar> {
        Adam::default().hyper()
    }

    fn scalars(&self, at: At, out: &mut [f64]) {
        Adam::default().scalars(at, out);
    }

    fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}
