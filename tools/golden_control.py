"""Makes tests/golden_control with PyTorch's own clipping and GradScaler.

Every case runs Adam and RMSprop of `torch.optim` in float64, with the gradients of
`trace.safetensors` (float32, some of them Inf or NaN), through
`torch.nn.utils.clip_grad_value_` and `clip_grad_norm_` in this order and
`torch.amp.GradScaler` around both, and stores after each step the parameters, the
loss scale and the norm, and the number of steps that were taken.

    pip install -r tools/requirements.txt
    python tools/golden_control.py
"""

from pathlib import Path

import numpy as np
import torch

from golden_file import write

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden_control"
TORCH = "2.15."
SEED = 3
STEPS = 24
SIZES = {"w": 301, "b": 7}
# Steps with a bad gradient: which parameter, which element, what.
BAD = {
    0: ("w", 5, np.inf),
    1: ("b", 6, np.nan),
    9: ("w", 300, -np.inf),
    10: ("w", 0, np.nan),
    20: ("b", 0, np.inf),
}
PLAIN = dict(init_scale=1.0, growth_factor=2.0, backoff_factor=0.5, growth_interval=10**9)
# Case by case: the clipping, the scaler's arguments or None, and whether there are bad gradients.
CASES = {
    "norm": (dict(clip_norm=1.0), None, False),
    "norm_largest": (dict(clip_norm=0.5, norm_type=float("inf")), None, False),
    "value": (dict(clip_value=0.25), None, False),
    "value_and_norm": (dict(clip_value=0.25, clip_norm=1.0), None, False),
    "scaler": ({}, dict(PLAIN, init_scale=64.0, growth_interval=4), True),
    "scaler_defaults": ({}, dict(PLAIN, init_scale=65536.0, growth_interval=2000), True),
    "scaler_norm": (dict(clip_norm=1.0), dict(PLAIN, init_scale=8.0, growth_interval=3), True),
    "scaler_all": (
        dict(clip_value=0.2, clip_norm=0.7),
        dict(init_scale=4.0, growth_factor=4.0, backoff_factor=0.25, growth_interval=2),
        True,
    ),
}
OPTIMIZERS = {
    "adam": lambda params: torch.optim.Adam(params, lr=1e-2, betas=(0.9, 0.999), eps=1e-8),
    "rmsprop": lambda params: torch.optim.RMSprop(params, lr=1e-2, alpha=0.99, eps=1e-8),
}


def make_trace():
    """Parameters, gradients of very different sizes from step to step, and the same with bad ones."""
    rng = np.random.default_rng(SEED)
    sizes = 10.0 ** rng.uniform(-3, 2, STEPS)
    trace = {}
    for name, size in SIZES.items():
        trace[f"param.{name}"] = rng.standard_normal(size).astype(np.float32)
        grad = (rng.standard_normal((STEPS, size)) * sizes[:, None]).astype(np.float32)
        trace[f"grad.{name}"] = grad
        trace[f"bad.{name}"] = grad.copy()
    for step, (name, element, value) in BAD.items():
        trace[f"bad.{name}"][step, element] = value
    return trace


def run(make, clip, scaler_arguments, bad, trace):
    params = {n: torch.nn.Parameter(torch.tensor(trace[f"param.{n}"]).double()) for n in SIZES}
    optimizer = make(params.values())
    scaler = torch.amp.GradScaler("cpu", **(scaler_arguments or PLAIN), enabled=True)
    scaler.scale(torch.ones(()))  # makes its tensors
    history = {f"param.{name}": [] for name in SIZES} | {"scale": [], "norm": [], "taken": []}
    taken = 0
    optimizer.register_step_post_hook(lambda *_: history["taken"].append(None))
    for step in range(STEPS):
        for name, param in params.items():
            grad = trace[f"{'bad' if bad else 'grad'}.{name}"][step]
            param.grad = torch.tensor(grad).double()
        scaler.unscale_(optimizer)
        if "clip_value" in clip:
            torch.nn.utils.clip_grad_value_(params.values(), clip["clip_value"])
        norm_type = clip.get("norm_type", 2.0)
        limit = clip.get("clip_norm", float("inf"))
        norm = torch.nn.utils.clip_grad_norm_(params.values(), limit, norm_type)
        before = len(history["taken"])
        scaler.step(optimizer)
        taken += len(history["taken"]) - before
        del history["taken"][before:]
        history["taken"].append(taken)
        scaler.update()
        history["scale"].append(scaler.get_scale())
        history["norm"].append(norm.item())
        for name, param in params.items():
            history[f"param.{name}"].append(param.detach().numpy().copy())
    return {name: np.array(values, dtype=np.float64) for name, values in history.items()}


def main():
    if not torch.__version__.startswith(TORCH):
        raise RuntimeError(f"torch {torch.__version__} is not {TORCH}x")
    trace = make_trace()
    write(GOLDEN, "trace", trace, origin=f"numpy {np.__version__}")
    for name, (clip, scaler, bad) in CASES.items():
        for optimizer, make in OPTIMIZERS.items():
            result = run(make, clip, scaler, bad, trace)
            write(GOLDEN, f"{name}_{optimizer}", result, origin=f"torch {torch.__version__}")
            print(f"{name:16} {optimizer:8} taken {result['taken'][-1]:3.0f} scale {result['scale'][-1]}")


if __name__ == "__main__":
    main()
