//! Names: a rule whose text declares one of ours is refused when it is given, and does not fail later.

use std::collections::BTreeSet;

use support::noop::device;
use support::{halves, ok};
use wgpu_optim::kernel::{Kernel, control_kernels, every_kernel_of};
use wgpu_optim::wgpu::{Buffer, BufferDescriptor, BufferUsages, Device, Limits};
use wgpu_optim::{Control, Error, Format, Group, Master, Optimizer, Rule, Sgd, View};

use super::foreign::Foreign;

/// A word of WGSL, or what stands between words.
fn words(wgsl: &str) -> Vec<&str> {
    let code = wgsl.lines().map(|line| line.split("//").next().unwrap_or_default());
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut words = Vec::new();
    for line in code {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let len = match is_name(first) {
                true => rest.find(|c| !is_name(c)).unwrap_or(rest.len()),
                false => first.len_utf8(),
            };
            words.push(&rest[..len]);
            rest = &rest[len..];
        }
    }
    words.retain(|word| !word.trim().is_empty());
    words
}

/// The names that a text declares, and those that it calls.
fn names(wgsl: &str) -> (BTreeSet<&str>, BTreeSet<&str>) {
    const DECLARING: [&str; 5] = ["fn", "struct", "const", "override", "alias"];
    let words = words(wgsl);
    let mut depth = 0;
    let (mut declared, mut called) = (BTreeSet::new(), BTreeSet::new());
    for (i, word) in words.iter().enumerate() {
        let next = words.get(i + 1).copied().unwrap_or_default();
        match *word {
            "{" => depth += 1,
            "}" => depth -= 1,
            word if DECLARING.contains(&word) && depth == 0 => _ = declared.insert(next),
            "var" if depth == 0 => {
                // Behind `var<storage, read_write>`, unless there is nothing of the kind.
                let name = words[i + 1..].iter().skip_while(|word| next == "<" && **word != ">");
                declared.extend(name.copied().find(|word| *word != ">"));
            }
            // An attribute is no call.
            word if next == "("
                && word.starts_with(|c: char| c.is_alphabetic())
                && (i == 0 || words[i - 1] != "@") =>
            {
                called.insert(word);
            }
            _ => {}
        }
    }
    (declared, called)
}

fn buffer(device: &Device, elements: u64) -> Buffer {
    device.create_buffer(&BufferDescriptor {
        label: Some("test"),
        size: elements * 4,
        usage: BufferUsages::STORAGE,
        mapped_at_creation: false,
    })
}

/// Records steps of every kind with this rule. What is wrong with a kernel panics here.
fn steps(device: &Device, rule: &(impl Rule + Clone)) -> Result<(), Error> {
    let plain = || Group::new(0.1, rule.clone());
    let mut weights = vec![(Format::F32, plain().ema(0.9), None)];
    weights.extend(halves().map(|half| (Format::F32, plain(), Some(half))));
    for half in halves() {
        let whole = [Master::Remainder, Master::F32].map(|master| plain().master(master));
        weights.extend(whole.map(|group| (half, group, None)));
        weights.push((half, plain().stochastic_rounding(1).state_format(half), None));
    }
    // A remainder is of a format that is half an f32.
    weights
        .retain(|(format, group, _)| group.master != Master::Remainder || *format == Format::Bf16);
    for (format, group, copy) in weights {
        let mut optimizer = Optimizer::new(device);
        let id = optimizer.add_group(group)?;
        let [params, grads, others, copies] = [(); 4].map(|()| buffer(device, 64));
        let of = |buffer, format, from: u64| View::whole(buffer, format).range(from..from + 10);
        let mut ids = Vec::new();
        for (i, (from, grad)) in [(0, &grads), (21, &grads), (40, &others)].into_iter().enumerate()
        {
            let grad = of(grad, format, from + i as u64 % 2);
            let view = of(&params, format, from);
            let param = ok(optimizer.add_param(id, &i.to_string(), view, grad));
            ok(optimizer.set_copy(param, copy.map(|format| of(&copies, format, from))));
            ids.push(param);
        }
        for zero_grad in [false, true] {
            for clip_value in [None, Some(1.0)] {
                ok(optimizer.set_control(Control { zero_grad, clip_value, ..Control::default() }));
                let mut encoder = device.create_command_encoder(&Default::default());
                optimizer.step(&mut encoder);
                ok(optimizer.accumulate(&mut encoder));
                optimizer.step(&mut encoder);
                drop(encoder.finish());
            }
        }
        let moved = [of(&grads, format, 7), of(&others, Format::F32, 50)];
        for (param, grad) in ids.into_iter().zip(moved) {
            ok(optimizer.set_grad(param, grad));
        }
        let mut encoder = device.create_command_encoder(&Default::default());
        optimizer.step(&mut encoder);
        drop(encoder.finish());
    }
    Ok(())
}

/// A rule that has declarations of these names, which no call of ours means.
fn declaring<'a>(names: impl IntoIterator<Item = &'a str>) -> Foreign<Sgd> {
    let inner = Sgd { momentum: 0.9, ..Sgd::default() };
    let more: String = names.into_iter().map(|name| format!("fn {name}() {{}}\n")).collect();
    let text = format!("{}\n{more}", inner.wgsl());
    // Texts last as long as the program.
    Foreign { text: Some(Box::leak(text.into_boxed_str())), ..Foreign::new(inner) }
}

/// The files that these kernels are joined of, each once.
fn files(kernels: impl Iterator<Item = Kernel>) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for kernel in kernels {
        for file in kernel.wgsl.split("// ──") {
            if !files.contains(file) {
                files.insert(file.to_owned());
            }
        }
    }
    files
}

#[test]
fn no_name_of_ours_fails_later() {
    let (device, _queue) = device(Limits::default());
    let given = |rule: &Foreign<Sgd>| {
        Optimizer::new(&device).add_group(Group::new(0.1, rule.clone())).map(|_| ())
    };
    let rule = declaring(["nobody_else_has_this"]);
    let steps_have = files(every_kernel_of(&Group::new(0.1, rule.inner.clone())));
    let others_have = files(control_kernels().into_iter());
    let calls = steps_have.iter().flat_map(|file| names(file).1);
    let clashing: BTreeSet<&str> =
        steps_have.iter().flat_map(|file| names(file).0).chain(calls).collect();
    let others: BTreeSet<&str> = others_have.iter().flat_map(|file| names(file).0).collect();
    // Some that are in few kernels, so that the search is known to find such.
    for name in ["noise", "old_ema", "sums", "blocks", "load_gradient", "store_copy_beside", "real"]
    {
        assert!(clashing.contains(name), "{name} is not found");
    }
    for name in &clashing {
        let error = given(&declaring([*name]));
        assert!(matches!(error, Err(Error::Kernel { .. })), "{name}: {error:?}");
    }
    // Other names pass, and every kind of step with them.
    let free: Vec<&str> = others.difference(&clashing).copied().collect();
    assert!(!free.is_empty());
    ok(steps(&device, &declaring(free)));
    ok(steps(&device, &rule));
}
