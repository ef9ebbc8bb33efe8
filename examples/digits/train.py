"""The example's network in PyTorch, for checkpoints that the example goes on from.

    python examples/digits/train.py --epochs 4 --out model.pt
    wgpu-optim convert model.pt model.safetensors
    cargo run --release --features checkpoint --example digits -- --resume model.safetensors

Images, their order and the initial weights are those of the example with the same seed, so that both take the same
steps but for rounding. Needs torch 2.6 or newer, whose optimizers keep the names of parameters, and numpy.
"""

import argparse
import gzip
import math
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

DATA = Path(__file__).parent / "data/digits.csv.gz"
INPUTS, HIDDEN, CLASSES = 64, 128, 10
MASK = (1 << 64) - 1

OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}


class Random:
    """SplitMix64, and numbers from it, as in random.rs."""

    def __init__(self, seed):
        self.state = seed

    def bits(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def fraction(self):
        return (self.bits() >> 11) / (1 << 53)

    def normal(self):
        radius = math.sqrt(-2.0 * math.log(1.0 - self.fraction()))
        return radius * math.cos(2.0 * math.pi * self.fraction())

    def shuffle(self, items):
        for last in range(len(items) - 1, 0, -1):
            other = int(self.fraction() * (last + 1))
            items[last], items[other] = items[other], items[last]


def load(seed):
    """Returns the images to learn from and those held out, each with their labels."""
    with gzip.open(DATA, "rt") as file:
        rows = [[int(number) for number in line.split(",")] for line in file]
    Random(seed).shuffle(rows)
    rows = np.array(rows, dtype=np.int64)
    images = torch.from_numpy(rows[:, :INPUTS].astype(np.float32) / 16)
    labels = torch.from_numpy(rows[:, INPUTS])
    train = len(rows) * 4 // 5
    return (images[:train], labels[:train]), (images[train:], labels[train:])


def initial(seed):
    """Returns the parameters by name. Rows of weights are inputs, other than in torch.nn.Linear."""
    random = Random(seed)
    params = {}
    for layer, (inputs, outputs) in enumerate([(INPUTS, HIDDEN), (HIDDEN, CLASSES)], start=1):
        deviation = math.sqrt(2.0 / inputs)
        weights = [deviation * random.normal() for _ in range(inputs * outputs)]
        weights = torch.tensor(weights, dtype=torch.float64).float()
        params[f"w{layer}"] = torch.nn.Parameter(weights.reshape(inputs, outputs))
        params[f"b{layer}"] = torch.nn.Parameter(torch.zeros(outputs))
    return params


def logits(params, images):
    hidden = torch.relu(images @ params["w1"] + params["b1"])
    return hidden @ params["w2"] + params["b2"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", choices=OPTIMIZERS, default="adamw")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()

    (images, labels), held_out = load(options.seed)
    params = initial(options.seed + 2)
    named = list(params.items())
    optimizer = OPTIMIZERS[options.run](named, lr=options.lr)
    random = Random(options.seed + 1)
    order = list(range(len(images)))
    for epoch in range(1, options.epochs + 1):
        random.shuffle(order)
        total = 0.0
        for first in range(0, len(order), options.batch):
            batch = order[first : first + options.batch]
            loss = cross_entropy(logits(params, images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        with torch.no_grad():
            hits = logits(params, held_out[0]).argmax(dim=1) == held_out[1]
        accuracy = hits.float().mean().item()
        print(f"epoch {epoch:>3}: loss {total / len(order):.4f}, accuracy {accuracy:.4f}")
    torch.save({"model": dict(params), "optimizer": optimizer.state_dict()}, options.out)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
