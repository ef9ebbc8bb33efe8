"""Makes `average_*` of tests/golden_control: PyTorch's accumulation, Optax's moving average.

PyTorch adds up the gradients of three backward passes, of a third of the loss each, in float64 (Optax's
`MultiSteps` does it in float32), and takes a step; `optax.ema(debias=True)` averages the parameters
after it. The losses are linear, so that their gradients are those of `trace.safetensors`.

    pip install -r tools/requirements.txt
    python tools/golden_control.py
    python tools/golden_average.py
"""

import jax
import numpy as np
import optax
import torch
from safetensors.numpy import load_file

from golden_control import GOLDEN, OPTIMIZERS, SIZES, STEPS
from golden_file import write

OPTAX = "0.2.8"
EVERY = 3
DECAY = 0.9


def run(make, trace):
    params = {n: torch.nn.Parameter(torch.tensor(trace[f"param.{n}"]).double()) for n in SIZES}
    optimizer = make(params.values())
    average = optax.ema(DECAY, debias=True)
    numbers = {name: param.detach().numpy() for name, param in params.items()}
    averages = average.init(numbers)
    history = {f"{what}.{name}": [] for what in ("param", "ema") for name in SIZES}
    for first in range(0, STEPS, EVERY):
        optimizer.zero_grad()
        for step in range(first, first + EVERY):
            grads = {name: torch.tensor(trace[f"grad.{name}"][step]).double() for name in SIZES}
            loss = sum((params[name] * grad).sum() for name, grad in grads.items())
            (loss / EVERY).backward()
        optimizer.step()
        numbers = {name: param.detach().numpy().copy() for name, param in params.items()}
        means, averages = average.update(numbers, averages)
        for name in SIZES:
            history[f"param.{name}"].append(numbers[name])
            history[f"ema.{name}"].append(np.array(means[name]))
    return {name: np.array(values, dtype=np.float64) for name, values in history.items()}


def main():
    if optax.__version__ != OPTAX:
        raise RuntimeError(f"optax {optax.__version__} is not {OPTAX}")
    jax.config.update("jax_enable_x64", True)
    origin = f"torch {torch.__version__}, optax {optax.__version__}"
    trace = load_file(GOLDEN / "trace.safetensors")
    for optimizer, make in OPTIMIZERS.items():
        result = run(make, trace)
        write(GOLDEN, f"average_{optimizer}", result, origin=origin)
        print(f"average {optimizer:8} steps {len(result['ema.w'])}")


if __name__ == "__main__":
    main()
