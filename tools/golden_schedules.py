"""Makes tests/golden_schedules.json with the schedulers of PyTorch and Optax, in float64.

Each row holds a schedule as CONFIG has it, the scheduler it comes from, and the rate of each step: the
first is PyTorch's before any `scheduler.step()`, and Optax's at count 0. Runs go on behind the end of a
schedule, except where the origin is something else there: `CosineAnnealingLR` rises again after T_max, and
`OneCycleLR` raises after its last step. The rows under `plateau` hold the options of `ReduceLROnPlateau`,
the metrics and the rate after each.

    pip install -r tools/requirements.txt
    python tools/golden_schedules.py
"""

import json
import math
import random
import warnings
from pathlib import Path

import jax
import optax
import torch
from torch.optim import lr_scheduler as torch_lr

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_enable_x64", True)

PATH = Path(__file__).resolve().parent.parent / "tests" / "golden_schedules.json"
VERSIONS = {"torch": ("2.15.", torch.__version__), "optax": ("0.2.8", optax.__version__)}
LR = 3e-3


def schedule(name, **keys):
    return {"schedule": name, **keys}


def warmup(steps, start, then):
    return schedule("warmup", steps=steps, **{"from": start}, then=then)


def lasting(steps, part):
    return {"for": steps, **part}


def optimizer(lr=LR):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def of_torch(make, steps, lr=LR):
    """Runs a scheduler for so many steps."""
    sgd = optimizer(lr)
    scheduler = make(sgd)
    rates = []
    for step in range(steps):
        rates.append(float(sgd.param_groups[0]["lr"]))
        sgd.step()
        if step + 1 < steps:
            scheduler.step()
    return rates


def of_optax(function, steps):
    return [float(function(count)) for count in range(steps)]


def noam(warmup):
    return lambda k: min((k + 1) / warmup, math.sqrt(warmup / (k + 1)))


def torch_rows():
    """Yields origin, schedule, maker of the scheduler and steps."""
    for start, end, n in [(1 / 3, 1.0, 5), (1.0, 0.01, 40), (0.25, 0.25, 7), (1e-4, 1.0, 100)]:
        yield (
            "LinearLR",
            schedule("linear", start=LR * start, end=LR * end, steps=n),
            lambda o, a=(start, end, n): torch_lr.LinearLR(o, *a),
            n + 20,
        )
    for power, n in [(1.0, 30), (0.9, 100), (2.0, 50), (3.5, 17)]:
        yield (
            "PolynomialLR",
            schedule("polynomial", start=LR, end=0.0, power=power, steps=n),
            lambda o, a=(n, power): torch_lr.PolynomialLR(o, *a),
            n + 10,
        )
    for end, n in [(0.0, 100), (1e-4, 37), (1e-3, 1), (6e-3, 20)]:
        yield (
            "CosineAnnealingLR",
            schedule("cosine", start=LR, end=end, steps=n),
            lambda o, a=(n, end): torch_lr.CosineAnnealingLR(o, *a),
            n + 1,
        )
    restarts = [(0.0, 10, 1, 45), (1e-4, 7, 2, 120), (0.0, 5, 3, 210), (1e-5, 1, 2, 70)]
    for end, n, factor, steps in restarts:
        yield (
            "CosineAnnealingWarmRestarts",
            schedule("cosine_restarts", start=LR, end=end, steps=n, factor=factor),
            lambda o, a=(n, factor, end): torch_lr.CosineAnnealingWarmRestarts(o, *a),
            steps,
        )
    for gamma, steps in [(0.9, 100), (0.999, 300), (1.1, 60)]:
        yield (
            "ExponentialLR",
            schedule("exponential", start=LR, gamma=gamma),
            lambda o, a=gamma: torch_lr.ExponentialLR(o, a),
            steps,
        )
    for gamma, every, steps in [(0.1, 30, 100), (0.5, 1, 20), (0.97, 7, 150)]:
        yield (
            "StepLR",
            schedule("step", start=LR, gamma=gamma, every=every),
            lambda o, a=(every, gamma): torch_lr.StepLR(o, *a),
            steps,
        )
    for gamma, milestones, steps in [(0.1, [30, 80], 100), (0.5, [1, 2, 4, 8, 16], 20)]:
        yield (
            "MultiStepLR",
            schedule("multi_step", start=LR, gamma=gamma, milestones=milestones),
            lambda o, a=(milestones, gamma): torch_lr.MultiStepLR(o, *a),
            steps,
        )
    # The peak is between two steps where pct_start · steps is no whole number, and before the first where
    # it is below 1.
    for peak, n, pct, div, final in [
        (0.1, 100, 0.3, 25.0, 1e4),
        (0.1, 101, 0.3, 25.0, 1e4),
        (1e-3, 77, 0.123, 10.0, 100.0),
        (0.5, 20, 0.0, 4.0, 1.0),
        (0.5, 20, 0.02, 4.0, 0.5),
        (0.1, 10, 0.99, 25.0, 1e4),
        (0.1, 1, 0.3, 25.0, 1e4),
        (0.1, 2, 0.3, 25.0, 1e4),
    ]:
        yield (
            "OneCycleLR",
            schedule("one_cycle", peak=peak, steps=n, pct_start=pct, div=div, final_div=final),
            lambda o, a=(peak, n, pct, div, final): torch_lr.OneCycleLR(
                o,
                a[0],
                total_steps=a[1],
                pct_start=a[2],
                anneal_strategy="cos",
                cycle_momentum=False,
                div_factor=a[3],
                final_div_factor=a[4],
            ),
            n,
        )
    triangles = [(1e-4, 1e-2, 20, 20), (0.0, 1.0, 5, 13), (1e-3, 2e-3, 11, 2), (0.1, 0.5, 1, 1)]
    for low, high, up, down in triangles:
        yield (
            "CyclicLR",
            schedule("cyclic", low=low, high=high, up=up, down=down),
            lambda o, a=(low, high, up, down): torch_lr.CyclicLR(
                o,
                a[0],
                a[1],
                step_size_up=a[2],
                step_size_down=a[3],
                mode="triangular",
                cycle_momentum=False,
            ),
            4 * (up + down) + 3,
        )
    for factor, n in [(0.5, 10), (1 / 3, 1)]:
        yield (
            "ConstantLR",
            schedule("piecewise", boundaries=[n], values=[LR * factor, LR]),
            lambda o, a=(factor, n): torch_lr.ConstantLR(o, *a),
            n + 10,
        )
    for rise, steps in [(1, 30), (40, 200)]:
        yield (
            "LambdaLR (Noam)",
            schedule("inverse_sqrt", peak=LR, warmup=rise),
            lambda o, a=rise: torch_lr.LambdaLR(o, noam(a)),
            steps,
        )
    factors = [1.0, 0.5, 0.05, 0.2]
    bounds = [3, 10, 25]
    yield (
        "LambdaLR (piecewise)",
        schedule("piecewise", boundaries=bounds, values=[LR * factor for factor in factors]),
        lambda o: torch_lr.LambdaLR(o, lambda k: factors[sum(k >= bound for bound in bounds)]),
        40,
    )
    yield (
        "LambdaLR (constant)",
        schedule("constant", value=LR),
        lambda o: torch_lr.LambdaLR(o, lambda _: 1.0),
        5,
    )
    yield from torch_sequences()


def torch_sequences():
    """Yields rows whose scheduler is made of others."""

    def joined(milestones, *makers):
        return lambda o: torch_lr.SequentialLR(o, [make(o) for make in makers], milestones)

    warm = lambda factor, n: lambda o: torch_lr.LinearLR(o, factor, total_iters=n)
    yield (
        "SequentialLR (LinearLR, CosineAnnealingLR)",
        warmup(10, LR * 0.01, schedule("cosine", start=LR, end=1e-5, steps=50)),
        joined([10], warm(0.01, 10), lambda o: torch_lr.CosineAnnealingLR(o, 50, 1e-5)),
        61,
    )
    yield (
        "SequentialLR (LinearLR, PolynomialLR)",
        warmup(7, LR / 3, schedule("polynomial", start=LR, end=0.0, power=2.0, steps=30)),
        joined([7], warm(1 / 3, 7), lambda o: torch_lr.PolynomialLR(o, 30, 2.0)),
        50,
    )
    yield (
        "SequentialLR (LinearLR, MultiStepLR)",
        warmup(5, LR * 0.1, schedule("multi_step", start=LR, gamma=0.1, milestones=[10, 20])),
        joined([5], warm(0.1, 5), lambda o: torch_lr.MultiStepLR(o, [10, 20], 0.1)),
        40,
    )
    yield (
        "SequentialLR (ConstantLR, ExponentialLR, StepLR)",
        schedule(
            "sequence",
            parts=[
                lasting(8, schedule("constant", value=LR * 0.1)),
                lasting(20, schedule("exponential", start=LR, gamma=0.9)),
                schedule("step", start=LR, gamma=0.5, every=6),
            ],
        ),
        joined(
            [8, 28],
            lambda o: torch_lr.ConstantLR(o, 0.1, 100),
            lambda o: torch_lr.ExponentialLR(o, 0.9),
            lambda o: torch_lr.StepLR(o, 6, 0.5),
        ),
        60,
    )
    for end in (0.0, 3e-5):
        yield (
            "SequentialLR (LinearLR, ConstantLR, LinearLR)",
            schedule("wsd", peak=LR, warmup=10, stable=30, decay=20, end=end),
            joined(
                [10, 39],
                lambda o: torch_lr.LinearLR(o, 1 / 10, 1.0, 9),
                lambda o: torch_lr.ConstantLR(o, 1.0, 1),
                lambda o, end=end: torch_lr.LinearLR(o, 1.0, end / LR, 20),
            ),
            80,
        )


def optax_rows():
    """Yields origin, schedule, function and steps."""
    yield "constant_schedule", schedule("constant", value=LR), optax.constant_schedule(LR), 5
    yield (
        "linear_schedule",
        schedule("linear", start=1e-5, end=LR, steps=30),
        optax.linear_schedule(1e-5, LR, 30),
        50,
    )
    for end, power, n in [(1e-5, 2.0, 40), (1.0, 0.5, 25), (0.0, 1.0, 10)]:
        yield (
            "polynomial_schedule",
            schedule("polynomial", start=LR, end=end, power=power, steps=n),
            optax.polynomial_schedule(LR, end, power, n),
            n + 20,
        )
    for alpha, n in [(0.0, 100), (0.1, 33)]:
        yield (
            "cosine_decay_schedule",
            schedule("cosine", start=LR, end=LR * alpha, steps=n),
            optax.cosine_decay_schedule(LR, n, alpha),
            n + 30,
        )
    yield (
        "exponential_decay",
        schedule("exponential", start=LR, gamma=0.5 ** (1 / 20)),
        optax.exponential_decay(LR, 20, 0.5),
        100,
    )
    yield (
        "exponential_decay (staircase)",
        schedule("step", start=LR, gamma=0.5, every=20),
        optax.exponential_decay(LR, 20, 0.5, staircase=True),
        100,
    )
    yield (
        "piecewise_constant_schedule",
        schedule("piecewise", boundaries=[5, 12, 30], values=[LR, LR * 0.5, LR * 0.05, LR * 0.1]),
        optax.piecewise_constant_schedule(LR, {5: 0.5, 12: 0.1, 30: 2.0}),
        50,
    )
    yield (
        "piecewise_constant_schedule (one scale)",
        schedule("multi_step", start=LR, gamma=0.1, milestones=[5, 12, 30]),
        optax.piecewise_constant_schedule(LR, {5: 0.1, 12: 0.1, 30: 0.1}),
        50,
    )
    yield (
        "warmup_cosine_decay_schedule",
        warmup(20, 1e-6, schedule("cosine", start=LR, end=1e-5, steps=80)),
        optax.warmup_cosine_decay_schedule(1e-6, LR, 20, 100, 1e-5),
        130,
    )
    yield (
        "warmup_exponential_decay_schedule",
        warmup(10, 0.0, schedule("exponential", start=LR, gamma=0.9)),
        optax.warmup_exponential_decay_schedule(0.0, LR, 10, 1, 0.9),
        60,
    )
    yield (
        "warmup_constant_schedule",
        warmup(10, 1e-5, schedule("constant", value=LR)),
        optax.warmup_constant_schedule(1e-5, LR, 10),
        20,
    )
    yield (
        "join_schedules",
        schedule(
            "sequence",
            parts=[
                lasting(10, schedule("linear", start=0.0, end=LR, steps=10)),
                lasting(15, schedule("constant", value=LR)),
                schedule("cosine", start=LR, end=0.0, steps=40),
            ],
        ),
        optax.join_schedules(
            [
                optax.linear_schedule(0.0, LR, 10),
                optax.constant_schedule(LR),
                optax.cosine_decay_schedule(LR, 40),
            ],
            [10, 25],
        ),
        80,
    )
    cycles = [(1e-4, LR, 5, 30, 1e-5), (1e-5, LR / 2, 10, 60, 0.0)]
    keys = ("init_value", "peak_value", "warmup_steps", "decay_steps", "end_value")
    parts = [
        warmup(w, init, schedule("cosine", start=peak, end=end, steps=n - w))
        for init, peak, w, n, end in cycles
    ]
    yield (
        "sgdr_schedule",
        schedule("sequence", parts=[lasting(30, parts[0]), parts[1]]),
        optax.sgdr_schedule([dict(zip(keys, cycle)) for cycle in cycles]),
        120,
    )


def plateau_rows():
    """Yields the options of a plateau, the metrics and the rates after each."""
    numbers = random.Random(11)
    loss = [round(1.0 / (1 + 0.2 * min(t, 25)) + 0.01 * numbers.random(), 4) for t in range(80)]
    flat = [0.5] * 40
    accuracy = [round(1 - x, 4) for x in loss]
    odd = [math.nan, math.inf, 1.0, math.nan, 1.0, -math.inf, math.nan, 0.0, math.inf, 0.0]
    negative = [round(x - 2, 4) for x in loss]
    base = dict(mode="min", factor=0.1, patience=10, threshold=1e-4, threshold_mode="rel")
    base.update(cooldown=0, min_lr=0.0, eps=1e-8)
    absolute = dict(threshold=0.01, threshold_mode="abs")
    for metrics, changed in [
        (loss, {}),
        (loss, dict(factor=0.5, patience=2, threshold=0.05)),
        (loss, dict(factor=0.5, patience=0, threshold=0.02, threshold_mode="abs", cooldown=3)),
        (accuracy, dict(mode="max", factor=0.3, patience=1)),
        (accuracy, dict(mode="max", factor=0.3, patience=1, cooldown=2, **absolute)),
        (negative, dict(patience=2)),
        (negative, dict(mode="max", patience=2)),
        (flat, dict(patience=1, min_lr=1e-5)),
        (flat, dict(patience=1, eps=1e-4)),
        (flat, dict(patience=0, cooldown=5, factor=0.9)),
        (odd, dict(patience=1)),
        (odd, dict(patience=1, mode="max")),
    ]:
        options = {**base, **changed}
        sgd = optimizer()
        scheduler = torch_lr.ReduceLROnPlateau(sgd, **options)
        rates = []
        for metric in metrics:
            scheduler.step(metric)
            rates.append(float(sgd.param_groups[0]["lr"]))
        words = [metric if math.isfinite(metric) else str(metric) for metric in metrics]
        yield {"options": {"lr": LR, **options}, "metrics": words, "values": rates}


def main():
    for name, (expected, found) in VERSIONS.items():
        if not found.startswith(expected):
            raise RuntimeError(f"{name} {found} is not {expected}")
    # PyTorch warns of its own `SequentialLR`, which calls a scheduler's step before the optimizer's.
    warnings.simplefilter("ignore")
    rows = [
        {"origin": f"torch {origin}", "schedule": config, "values": of_torch(make, steps)}
        for origin, config, make, steps in torch_rows()
    ]
    rows += [
        {"origin": f"optax {origin}", "schedule": config, "values": of_optax(function, steps)}
        for origin, config, function, steps in optax_rows()
    ]
    plateau = list(plateau_rows())
    versions = {"torch": torch.__version__, "optax": optax.__version__, "jax": jax.__version__}
    line = lambda row: "    " + json.dumps(row, allow_nan=False)
    lists = [
        f'  "{name}": [\n' + ",\n".join(map(line, all_rows)) + "\n  ]"
        for name, all_rows in [("rows", rows), ("plateau", plateau)]
    ]
    text = f'{{\n  "versions": {json.dumps(versions)},\n' + ",\n".join(lists) + "\n}\n"
    PATH.write_text(text)
    print(f"{len(rows)} schedules, {len(plateau)} plateaus, {len(text)} bytes")


if __name__ == "__main__":
    main()
