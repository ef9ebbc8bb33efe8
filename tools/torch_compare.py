"""How far results are off, and damages that must show in them."""

import numpy as np
import torch


class Failed(Exception):
    """The command has refused something."""


def mutate(path, kind):
    """Damages a checkpoint of PyTorch; returns whether there was something to damage."""
    saved = torch.load(path, weights_only=True)
    states = saved["optimizer"]["state"].values()
    groups = saved["optimizer"]["param_groups"]
    done = False
    for state in states:
        slots = [key for key, value in state.items() if torch.is_tensor(value) and value.dim() > 0]
        if kind == "step" and "step" in state:
            state["step"] = state["step"] + 1
            done = True
        if kind == "slots" and len(slots) > 1:
            state[slots[0]], state[slots[1]] = state[slots[1]], state[slots[0]]
            done = True
    # The learning rate of Rprop is only that of its first step.
    is_over = "step_sizes" in groups[0] and any(states)
    if kind == "groups" and len(groups) > 1 and not is_over:
        groups[0]["lr"], groups[1]["lr"] = groups[1]["lr"], groups[0]["lr"]
        done = True
    torch.save(saved, path)
    return done


def off(found, expected, seen, unit):
    """The largest difference in units of what is allowed to the operands, which `seen` has on the way."""
    if sorted(found) != sorted(expected):
        raise Failed(f"there are {sorted(found)} in place of {sorted(expected)}")
    largest = 0.0
    for name, numbers in expected.items():
        way = [step[name] for step in seen if name in step]
        operands = np.max(np.abs(way), axis=0)
        if name.startswith("param."):
            operands = operands + unit.moves * np.sum(np.abs(np.diff(way, axis=0)), axis=0)
        difference = np.abs(found[name] - numbers)
        allowed = unit.size * operands
        if np.isnan(difference).any():
            return np.inf
        ratio = np.where(difference == 0, 0, difference / np.maximum(allowed, 1e-300))
        largest = max(largest, float(np.max(ratio)))
    return largest


class Unit:
    """The error that an element may have, relative to its operands; `moves` adds a parameter's changes to them."""

    def __init__(self, size, moves):
        self.size = size
        self.moves = moves
