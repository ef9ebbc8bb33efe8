"""Trains in PyTorch and here in turns, moving the checkpoint with `wgpu-optim convert`, and compares.

    python -m venv venv && . venv/bin/activate
    pip install numpy==2.4.6 safetensors==0.8.0
    pip install torch==2.15.0               # add --index-url https://download.pytorch.org/whl/cpu without a GPU
    cargo build --features cli --bin wgpu-optim
    python tools/torch_checkpoints.py                       # every case; exits with 1 if one is off
    python tools/torch_checkpoints.py nadam                 # those whose names begin so
    python tools/torch_checkpoints.py --mutate step         # exits with 1 if a damage is not noticed
    python tools/torch_checkpoints.py --fixtures tests/torch/resume

Every optimizer of PyTorch whose rule is here takes k of n steps on one side and the rest on the
other, over the same recorded gradients, in every layout of `torch_cases.py`. With `--mutate` a
checkpoint of PyTorch is damaged on its way, which a) and b) must notice: `step` counts one step too
many, `slots` exchanges two slots of each parameter, `groups` the learning rates of two groups.

a) and b), in float64: PyTorch's k steps, `convert`, `replay --resume --cpu`; and `replay --cpu --save`,
`convert`, `load_state_dict`. Either must end where PyTorch ends that takes all n steps itself. Both
round every operation to 2^-53, in another order, and a few steps of some ten operations stay well
below 1e-12 of the operands: of the largest value that the element of a parameter or slot has on the
way.

c), in float32: the same with `replay` on the GPU, and PyTorch in float32. Both are compared with
`replay --cpu --resume` of the same float32 checkpoint, so that only the steps after it count, and
neither the conversion nor the steps before it. An operation rounds to 2^-24 of its result (a division
or square root of a GPU to a few of that), and a step has about ten between an element's gradient and
its new value, whose errors have both signs: a few units. Errors of a slot add up over the steps, if
it decays to less. A parameter is off by the roundings of its own sums, 2^-24 of its magnitude each,
and by its changes, which are relatively as much off as the slots that they are made of. So with
m = n - k steps, |x| the largest on the way and sum |dx| the changes of a parameter (0 for a slot),
the bound is

    4 m 2^-24 (|x| + sum |dx|).

No gradient is near 0, so that little cancels in L2 decay and in RMSprop's `centered`; where that does
happen, no such bound holds. tests/goldens.rs has one that follows each operation instead.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from golden_file import write
from torch_cases import BETWEEN, CASES, LAYOUTS, STEPS, Run, config, recorded
from torch_compare import Failed, Unit, mutate, off

ROOT = Path(__file__).resolve().parent.parent
F64 = 1e-12
OPERATIONS = 4
LARGEST_FILE = 4096


class Command:
    """`wgpu-optim` with files in a directory."""

    def __init__(self, program, folder):
        self.program = program
        self.folder = folder
        self.trace = folder / "trace.safetensors"
        save_file(recorded(), self.trace)

    def run(self, *arguments):
        done = subprocess.run(
            [self.program, *map(str, arguments)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise Failed(done.stderr.strip().splitlines()[-1])

    def convert(self, source, target, case, layout):
        """Moves a checkpoint, and tells what a file of PyTorch leaves open."""
        more = [] if layout.is_named else ["--names", ",".join(layout.order())]
        if layout.groups == 1:
            more = []  # the order of the model is enough
        if layout.before == 0:
            more += ["--rule", case.rule]
        self.run("convert", source, target, *more)

    def replay(self, *arguments, begins=None, cpu=True):
        """The result of a run that goes on from a checkpoint, or of one from the start."""
        out = self.folder / "out.safetensors"
        more = ["--cpu"] if cpu else []
        if begins is not None:
            more += ["--steps", begins]
        self.run("replay", self.trace, "--out", out, *more, *arguments)
        return {name: tensor.astype(np.float64) for name, tensor in load_file(out).items()}


def steps_from(case, at, end=""):
    """The steps to take; SGD's checkpoints do not count those behind them."""
    return f"{at}..{end}" if case.kind == "SGD" or end else None


class Comparison:
    """A case in one layout."""

    def __init__(self, command, case, layout, damage):
        self.command = command
        self.case = case
        self.layout = layout
        self.damage = damage
        self.was_damaged = False
        self.trace = recorded()
        run = self.torch(torch.float64)
        start = run.values()
        self.seen = [start, *run.step(range(STEPS))]
        self.derived = run.derived()
        self.config = command.folder / "config.json"
        self.config.write_text(json.dumps(config(case, layout)))
        self.f64 = Unit(F64, 0)

    def torch(self, dtype):
        return Run(self.case, self.layout, self.trace, dtype)

    def path(self, name):
        return self.command.folder / name

    def rounding(self, steps):
        return Unit(OPERATIONS * max(steps, 1) * 2.0**-24, 1)

    def moved_here(self, dtype):
        """This crate's checkpoint of PyTorch's first steps, and PyTorch as it stands there."""
        run = self.torch(dtype)
        run.step(range(self.layout.before))
        run.save(self.path("torch.pt"))
        if self.damage:
            self.was_damaged |= mutate(self.path("torch.pt"), self.damage)
        self.command.convert(
            self.path("torch.pt"), self.path("here.safetensors"), self.case, self.layout
        )
        return run

    def moved_there(self, dtype):
        """PyTorch as it loads the checkpoint of a run here, and how many steps are behind it."""
        here, there = self.path("here.safetensors"), self.path("there.pt")
        cpu = dtype == torch.float64
        at = self.layout.before
        if self.layout.joins:
            # Only PyTorch leaves parameters out of steps: it makes the first.
            self.moved_here(dtype)
            steps = steps_from(self.case, at, BETWEEN)
            self.command.replay(
                "--resume", here, "--save", self.path("next"), begins=steps, cpu=cpu
            )
            self.path("next").replace(here)
            at = BETWEEN
        else:
            self.command.replay(
                "--optimizer", self.config, "--save", here, begins=f"0..{at}", cpu=cpu
            )
        self.command.run("convert", here, there, "--names", ",".join(self.layout.order()))
        if self.damage and not self.layout.joins:
            self.was_damaged |= mutate(there, self.damage)
        run = self.torch(dtype)
        run.load(there)
        return run, at

    def a(self):
        self.moved_here(torch.float64)
        steps = steps_from(self.case, self.layout.before)
        found = self.command.replay("--resume", self.path("here.safetensors"), begins=steps)
        return off(found, self.seen[-1], self.seen, self.f64)

    def b(self):
        run, at = self.moved_there(torch.float64)
        run.step(range(at, STEPS))
        # The steps of rules that do not read them count as well.
        steps = off(run.derived(), self.derived, [self.derived], self.f64)
        return max(steps, off(run.values(), self.seen[-1], self.seen, self.f64))

    def c_here(self):
        """How far the GPU is off, and how far PyTorch is."""
        run = self.moved_here(torch.float32)
        at = self.layout.before
        here, steps = self.path("here.safetensors"), steps_from(self.case, at)
        exact = self.command.replay("--resume", here, begins=steps)
        found = self.command.replay("--resume", here, begins=steps, cpu=False)
        run.step(range(at, STEPS))
        seen, unit = self.seen[at:], self.rounding(STEPS - at)
        return off(found, exact, seen, unit), off(run.values(), exact, seen, unit)

    def c_there(self):
        run, at = self.moved_there(torch.float32)
        here = self.path("here.safetensors")
        # A run here notes its place in the trace, also of an SGD.
        exact = self.command.replay("--resume", here)
        run.step(range(at, STEPS))
        return off(run.values(), exact, self.seen[at:], self.rounding(STEPS - at))


COLUMNS = ("a", "b", "c GPU", "c PyTorch", "c back")


def ratios(comparison):
    """A ratio for each column; a refusal is as far off as can be."""

    def tried(part, count=1):
        try:
            found = part()
            return found if isinstance(found, tuple) else (found,)
        except Failed as e:
            print(f"{comparison.case.name}, {comparison.layout.name}: {e}", file=sys.stderr)
            return (np.inf,) * count

    in_f64 = tried(comparison.a) + tried(comparison.b)
    if comparison.damage:
        return in_f64
    return in_f64 + tried(comparison.c_here, 2) + tried(comparison.c_there)


def fixtures(folder):
    """Writes what `tests/torch_resume.rs` reads: checkpoints of PyTorch, and where it arrived itself."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder, "trace", recorded())
    for number, case in enumerate(CASES):
        # All layouts in turn, because a file for each case in each would be many. Adagrad with its first sum is
        # one before step 1.
        layout = LAYOUTS[(number + 4) % len(LAYOUTS)]
        run = Run(case, layout, recorded(), torch.float64)
        run.step(range(layout.before))
        path = folder / f"{case.name}.pt"
        # PyTorch writes the file's first name before that of each tensor.
        run.save(folder / "c.pt")
        (folder / "c.pt").rename(path)
        assert path.stat().st_size < LARGEST_FILE, (path, path.stat().st_size)
        run.step(range(layout.before, STEPS))
        names = "" if layout.is_named or layout.groups == 1 else ",".join(layout.order())
        about = {
            "names": names,
            "rule": case.rule if layout.before == 0 else "",
            "steps": steps_from(case, layout.before) or "",
        }
        write(folder, case.name, run.values(), **about)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("case", nargs="*", help="the beginning of a case's name")
    parser.add_argument("--program", default=ROOT / "target/debug/wgpu-optim", type=Path)
    parser.add_argument("--mutate", choices=["step", "slots", "groups"])
    parser.add_argument("--fixtures", type=Path)
    arguments = parser.parse_args()
    if arguments.fixtures:
        fixtures(arguments.fixtures)
        return 0
    chosen = [
        case for case in CASES if not arguments.case or case.name.startswith(tuple(arguments.case))
    ]
    columns = COLUMNS[:2] if arguments.mutate else COLUMNS
    rows, damaged = [], []
    print(f"{'case':20} {'layout':17}" + "".join(f"{column:>11}" for column in columns))
    with tempfile.TemporaryDirectory() as folder:
        command = Command(arguments.program, Path(folder))
        for case in chosen:
            for layout in LAYOUTS:
                comparison = Comparison(command, case, layout, arguments.mutate)
                rows.append(ratios(comparison))
                damaged.append(comparison.was_damaged)
                cells = "".join(f"{ratio:11.3g}" for ratio in rows[-1])
                print(f"{case.name:20} {layout.name:17}{cells}", flush=True)
    worst = np.max(rows, axis=0)
    print(f"{'worst':38}" + "".join(f"{ratio:11.3g}" for ratio in worst))
    if arguments.mutate:
        noticed = sum(min(row) > 1 for row, was_damaged in zip(rows, damaged) if was_damaged)
        print(f"{noticed} of {sum(damaged)} damaged checkpoints are noticed")
        return 0 if noticed == sum(damaged) > 0 else 1
    print(f"a and b in units of {F64}, c in units of its bound; none may be above 1")
    return 0 if np.all(worst <= 1) else 1


if __name__ == "__main__":
    sys.exit(main())
