"""PyTorch's optimizers on the CPU beside `wgpu_optim::Cpu`, in turn, in one run.

    pip install -r tools/peers/requirements.txt
    python tools/peers/torch_cpu.py

The engine is a child process (`src/bin/cpu.rs`, built first) that waits for a line
while PyTorch works. PyTorch's threads sleep between samples too: the OpenMP runtime
is told not to spin, which costs a parallel region microseconds of the tens of
milliseconds that a step takes. Both use all cores.
"""

import argparse
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

# Rule, bytes a parameter moves (reads and writes of parameter, gradient and state),
# and PyTorch's implementations, the one to compare with first. RMSprop has none fused.
RULES = [
    (
        "adam",
        28,
        {
            "fused": lambda p: torch.optim.Adam(p, lr=1e-3, fused=True),
            "foreach": lambda p: torch.optim.Adam(p, lr=1e-3, foreach=True),
        },
    ),
    (
        "rmsprop",
        20,
        {"foreach": lambda p: torch.optim.RMSprop(p, lr=1e-2, foreach=True)},
    ),
    (
        "sgd",
        20,
        {"fused": lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9, fused=True)},
    ),
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
    def __init__(self, child, rule, elements):
        self.child, self.line = child, f"{rule} {elements}"

    def sample(self, ms):
        self.child.stdin.write(f"{self.line} {ms}\n")
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
    for rule, bytes_each, makes in RULES:
        sides = {f"torch {name}": Torch(make, options.elements) for name, make in makes.items()}
        sides["wgpu-optim Cpu"] = Ours(child, rule, options.elements)
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
