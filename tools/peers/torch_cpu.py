"""PyTorch's optimizers on the CPU beside `wgpu_optim::Cpu`, in turn, in one run.

    pip install -r tools/peers/requirements.txt
    python tools/peers/torch_cpu.py

The engine is a child process (`src/bin/cpu.rs`, built first) that waits for a line
while PyTorch works. PyTorch's threads sleep between samples too: the OpenMP runtime
is told not to spin, which costs a parallel region microseconds of the tens of
milliseconds that a step takes. Both use all cores.
"""

import argparse
import json
import os
import statistics
import subprocess
import time
from pathlib import Path

# Read when OpenMP starts, that is, before torch is imported.
os.environ["OMP_WAIT_POLICY"] = "passive"
os.environ["GOMP_SPINCOUNT"] = "0"
os.environ["KMP_BLOCKTIME"] = "0"

import torch

ROOT = Path(__file__).resolve().parent
MANIFEST = ROOT / "Cargo.toml"
CORES = len(os.sched_getaffinity(0))

# CONFIG of `wgpu-optim replay`, slots of state, PyTorch's class with the same options, and its implementations, the one
# to compare with first. Four of its classes have a fused one.
PYTORCH = {"convention": "pytorch"}
FUSED, FOREACH = ("fused", "foreach"), ("foreach",)
RULES = [
    ({"optimizer": "adam", **PYTORCH}, 2, torch.optim.Adam, {"lr": 1e-3}, FUSED),
    ({"optimizer": "adamw", "weight_decay": 0.1}, 2, torch.optim.AdamW, {"lr": 1e-3, "weight_decay": 0.1}, FUSED),
    ({"optimizer": "adam", "amsgrad": True, **PYTORCH}, 3, torch.optim.Adam, {"lr": 1e-3, "amsgrad": True}, FUSED),
    ({"optimizer": "sgd", "lr": 1e-3}, 0, torch.optim.SGD, {"lr": 1e-3}, FUSED),
    ({"optimizer": "sgd", "lr": 1e-3, "momentum": 0.9}, 1, torch.optim.SGD, {"lr": 1e-3, "momentum": 0.9}, FUSED),
    ({"optimizer": "adagrad", **PYTORCH}, 1, torch.optim.Adagrad, {"lr": 1e-2}, FUSED),
    ({"optimizer": "rmsprop", **PYTORCH}, 1, torch.optim.RMSprop, {"lr": 1e-2}, FOREACH),
    ({"optimizer": "nadam", **PYTORCH}, 2, torch.optim.NAdam, {"lr": 2e-3}, FOREACH),
    ({"optimizer": "radam", **PYTORCH}, 2, torch.optim.RAdam, {"lr": 1e-3}, FOREACH),
    ({"optimizer": "adamax", **PYTORCH}, 2, torch.optim.Adamax, {"lr": 2e-3}, FOREACH),
    ({"optimizer": "adadelta", **PYTORCH}, 2, torch.optim.Adadelta, {"lr": 1.0}, FOREACH),
    ({"optimizer": "asgd", **PYTORCH}, 1, torch.optim.ASGD, {"lr": 1e-2}, FOREACH),
    ({"optimizer": "rprop", **PYTORCH}, 2, torch.optim.Rprop, {"lr": 1e-2}, FOREACH),
]


class Torch:
    def __init__(self, make, elements):
        self.param = torch.full((elements,), 0.1, requires_grad=True)
        self.param.grad = torch.full((elements,), 1e-3)
        self.optimizer = make([self.param])

    def sample(self, ms):
        start = time.perf_counter()
        steps = 0
        while True:
            self.optimizer.step()
            steps += 1
            took = (time.perf_counter() - start) * 1e3
            if took >= ms:
                return took / steps


class Ours:
    def __init__(self, child, config, elements):
        self.child, self.asked = child, {"config": json.dumps(config), "elements": elements}

    def sample(self, ms):
        self.child.stdin.write(json.dumps({**self.asked, "ms": ms}) + "\n")
        self.child.stdin.flush()
        return float(self.child.stdout.readline())


def quartiles(samples):
    low, middle, high = statistics.quantiles(samples, n=4, method="inclusive")
    return middle, 100 * (high - low) / 2 / middle


def main():
    parser = argparse.ArgumentParser(description="PyTorch's optimizers beside ours on the CPU")
    parser.add_argument("--elements", type=int, default=16 << 20)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--ms", type=float, default=300, help="of one sample, at least")
    parser.add_argument("--only", nargs="*", help="names of optimizers")
    options = parser.parse_args()

    build = ["cargo", "build", "--release", "--locked", "--manifest-path", MANIFEST]
    subprocess.run([*build, "--bin", "cpu"], check=True)
    run = ["cargo", "run", "--release", "--quiet", "--locked", "--manifest-path", MANIFEST]
    child = subprocess.Popen(
        [*run, "--bin", "cpu"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "RAYON_NUM_THREADS": str(CORES)},
    )
    torch.set_num_threads(CORES)
    assert torch.get_num_threads() == CORES
    print(f"torch {torch.__version__}, {CORES} threads on both sides, {options.elements} elements")
    print(f"median of {options.rounds} samples of {options.ms:.0f} ms; ± half the quartile range")
    print("| rule | engine | elements | ms | ±% | GB/s | time / ours |")
    print("|---|---|---|---|---|---|---|")
    for config, slots, kind, arguments, ways in RULES:
        rule = " ".join([config["optimizer"], *(key for key in config if key in ("momentum", "amsgrad"))])
        if options.only and config["optimizer"] not in options.only:
            continue
        bytes_each = 12 + 8 * slots  # Reads and writes of parameter, gradient and state.
        make = lambda way: lambda param: kind(param, **arguments, **{way: True})
        sides = {f"torch {way}": Torch(make(way), options.elements) for way in ways}
        sides["wgpu-optim Cpu"] = Ours(child, config, options.elements)
        samples = {name: [] for name in sides}
        # The first round makes the state and warms up.
        for warm in range(options.rounds + 1):
            for name, side in sides.items():
                time.sleep(0.05)
                ms = side.sample(options.ms)
                if warm:
                    samples[name].append(ms)
        ours = samples["wgpu-optim Cpu"]
        for name, each in samples.items():
            ms, spread = quartiles(each)
            speed = options.elements * bytes_each / ms / 1e6
            ratio = statistics.median(a / b for a, b in zip(each, ours))
            print(
                f"| {rule} | {name} | {options.elements} | {ms:.2f} | {spread:.1f} "
                f"| {speed:.1f} | {ratio:.2f} |",
                flush=True,
            )
        del sides
    child.stdin.close()
    child.wait()


if __name__ == "__main__":
    main()
