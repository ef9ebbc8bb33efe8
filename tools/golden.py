"""Makes the golden files in tests/golden with the optimizers of other libraries.

Every case runs the origin's own optimizer in float64 over one recorded trace of
gradients (`trace.safetensors`, float32) and stores the parameters after each step,
the state after the last one and the learning rates. The file's metadata has the
origin, its call and, as `config`, the CONFIG that must give the same numbers here.

Slots carry our names whatever the origin, but hold what the origin keeps. A slot
that has the opposite sign of ours stands in the metadata as `signs`:
`momentum_buffer` of RMSprop includes the learning rate in Keras, and the negated
learning rate in Optax. `lr` of Adagrad is the rate before `lr_decay`. Where an origin
trains other weights than it evaluates with, `eval.w` are those after the last step.

    pip install -r tools/requirements.txt
    python tools/golden.py                  # every file
    python tools/golden.py torch_nadam      # those whose names begin so
"""

import argparse
import importlib.metadata
import json
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

from golden_cases import CASES, STEPS
from golden_file import write
from golden_origins import run

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
REQUIREMENTS = ROOT / "tools" / "requirements.txt"
TORCH = "2.15."
DISTRIBUTIONS = {"tensorflow": "tensorflow-cpu"}  # packages that are not called as what they hold

SEED = 20
WIDTH = 43
LATE_WIDTH = 5


def make_trace():
    """Initial parameters and the gradients of every step, as float32.

    A column's gradients share one magnitude, from 1e-6 in the first to 1e3 in the last.
    """
    rng = np.random.default_rng(SEED)
    scale = 10.0 ** np.linspace(-6, 3, WIDTH)
    param = rng.standard_normal(WIDTH)
    param[[0, 5, 14, 31]] = 0.0
    param[[10, 22, 40]] *= 1e3
    param[[7, 24, 36]] *= 1e-3

    grad = rng.standard_normal((STEPS, WIDTH)) * scale
    constant = [8, 17, 30, 38]
    grad[:, constant] = scale[constant] * [1, -1, 1, -1]
    grad[:, [5, 20, 42]] = 0.0  # always zero
    grad[:6, 3] = 0.0  # starts late
    grad[::2, 12] = 0.0  # every other step
    grad[1:, 27] = 0.0  # a single spike
    grad[6:, 33] = 0.0  # stops early

    trace = {
        "param.w": param,
        "grad.w": grad,
        "param.late": rng.standard_normal(LATE_WIDTH),
        "grad.late": rng.standard_normal((STEPS, LATE_WIDTH))
        * 10.0 ** np.linspace(-4, 2, LATE_WIDTH),
    }
    return {name: values.astype(np.float32) for name, values in trace.items()}


def check_versions():
    if not torch.__version__.startswith(TORCH):
        raise RuntimeError(f"torch {torch.__version__} is not {TORCH}x")
    for line in REQUIREMENTS.read_text().splitlines():
        if line and not line.startswith("#"):
            package, _, wanted = line.partition("==")
            try:
                found = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                continue  # Python says so where a row needs it
            if found != wanted:
                raise RuntimeError(f"{package} {found} is not the {wanted} of {REQUIREMENTS.name}")


def print_table(folder, names):
    """Reads files back, checks what they hold and prints one line for each."""
    print(f"{'case':42} {'origin':26} {'tensors':>7} {'worst |param|':>14}  NaN")
    for name in names:
        with safe_open(folder / f"{name}.safetensors", framework="numpy") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}
            origin = file.metadata()["origin"]
        steps = [] if name == "trace" else [STEPS]
        dtype = np.float32 if name == "trace" else np.float64
        if any(values.dtype != dtype for values in tensors.values()):
            raise TypeError(f"{name}: not all tensors are {dtype.__name__}")
        if tensors["param.w"].shape != (*steps, WIDTH):
            raise ValueError(f"{name}: param.w has the shape {tensors['param.w'].shape}")
        nan = [key for key, values in tensors.items() if np.isnan(values).any()]
        worst = max(np.abs(v).max() for key, v in tensors.items() if key.startswith("param."))
        print(f"{name:42} {origin:26} {len(tensors):7} {worst:14.6g}  {', '.join(nan) or 'no'}")


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def main(cases=CASES):
    parser = argparse.ArgumentParser(description="Makes the golden files.")
    parser.add_argument("prefix", nargs="*", default=[""], help="make files with such names alone")
    parser.add_argument("--out", type=Path, default=GOLDEN, help="the folder")
    given = parser.parse_args()
    wanted = tuple(given.prefix)
    check_versions()
    trace, written = make_trace(), []
    if "trace".startswith(wanted):
        origin, call = f"numpy {np.__version__}", f"make_trace(), seed {SEED}"
        write(given.out, "trace", trace, origin=origin, call=call)
        written.append("trace")
    trace = {name: values.astype(np.float64) for name, values in trace.items()}
    for case in cases:
        if case.name.startswith(wanted):
            tensors, negated = run(case, trace)
            about = {"call": case.call, "config": compact(case.config)}
            distribution = DISTRIBUTIONS.get(case.origin, case.origin)
            about["origin"] = f"{case.origin} {importlib.metadata.version(distribution)}"
            if negated:
                about["signs"] = compact({slot: -1 for slot in negated})
            write(given.out, case.name, tensors, **about)
            written.append(case.name)
    if not written:
        parser.error(f"no file has a name that begins with {' or '.join(wanted)}")
    print_table(given.out, written)


if __name__ == "__main__":
    main()
