"""Makes tests/golden_blocks: optimizer state of 8 and 4 bits, by torchao's and bitsandbytes' own code.

`tables` has the codes' values, `codes` numbers with the codes and scales that either library gives them,
`torchao_adamw8bit`, `torchao_adamw4bit`, `bitsandbytes_adamw8bit` and `bitsandbytes_lion8bit` whole
trainings on the CPU, and the `.pt` files the optimizers' state dicts after them, as torch.save writes them.
Parameters and gradients of the trainings follow from integers (`numbers`), so that no file has them;
`--trace` writes them for `wgpu-optim replay`.

The tables of 8 bits are those of a CPU with fused multiply-add (x86-64 with AVX2): without it,
torch.linspace rounds twice, and 73 of their 512 values are the f32 next to these.

    pip install -r tools/requirements.txt
    python tools/golden_blocks.py
    python tools/golden_blocks.py --trace trace.safetensors
"""

import argparse
import json
import os
import warnings
from pathlib import Path

import numpy as np
import torch

# Each function that torchao compiles is run as it stands there.
torch.compile = lambda function, **_: function
warnings.simplefilter("ignore")

import bitsandbytes as bnb
import torchao
from torchao.optim import AdamW4bit, AdamW8bit
from torchao.optim import subclass_4bit, subclass_8bit
from torchao.optim.quant_utils import (
    quantize_4bit_with_qmap,
    quantize_8bit_with_qmap,
    scale_tensor,
)

from golden import check_versions
from golden_file import write

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden_blocks"
SHAPES = {"w": (64, 64), "b": (5,)}
STEPS = 50
# The steps after which codes are kept, of bitsandbytes only the last, and after the last the parameter as well.
KEPT = (1, STEPS)
LARGEST = 200 << 10
SLOTS = {"exp_avg": True, "exp_avg_sq": False}
OPTIONS = dict(lr=2.0**-9, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.125)
# The name of a file, the class, its options, and our options for the same.
RUNS = {
    "torchao_adamw8bit": (AdamW8bit, OPTIONS, "adamw"),
    "torchao_adamw4bit": (AdamW4bit, OPTIONS, "adamw"),
    "bitsandbytes_adamw8bit": (bnb.optim.AdamW8bit, OPTIONS, "adamw"),
    "bitsandbytes_lion8bit": (
        bnb.optim.Lion8bit,
        {key: value for key, value in OPTIONS.items() if key != "eps"},
        "lion",
    ),
}
VERSIONS = {
    "torchao": f"torchao {torchao.__version__}",
    "bitsandbytes": f"bitsandbytes {bnb.__version__}",
}


def numbers(step, count):
    """Numbers of step 1 and so on, or of step 0 the parameter: exact in f32, of 24 bits.

    Blocks of 128 have other magnitudes, 1 to 2^-15, and every 64th number of a step is 0.
    """
    i = np.arange(count, dtype=np.uint32)
    h = i * np.uint32(0x9E3779B1) + np.uint32((step * 0x85EBCA77) % 2**32)
    for shift, factor in ((15, 0x2C1B3C6D), (12, 0x297A2D39)):
        h = (h ^ (h >> np.uint32(shift))) * np.uint32(factor)
    h = h ^ (h >> np.uint32(15))
    whole = (h >> np.uint32(8)).astype(np.int64) - 2**23
    exponents = np.zeros(count) if step == 0 else (i // 128) % 16
    values = whole * 2.0 ** (-23 - exponents.astype(np.float64))
    if step > 0:
        values[(i + np.uint32(step)) % 64 == 0] = 0.0
    assert (values == values.astype(np.float32)).all()
    return values.astype(np.float32)


def trace():
    tensors = {}
    for name, shape in SHAPES.items():
        count = int(np.prod(shape))
        tensors[f"param.{name}"] = numbers(0, count).reshape(shape)
        grads = [numbers(step, count).reshape(shape) for step in range(1, STEPS + 1)]
        tensors[f"grad.{name}"] = np.array(grads)
    return tensors


def tables():
    """The values of all codes, in the order of the codes."""
    eight, four = subclass_8bit, subclass_4bit
    made = {
        "block8.signed": eight.get_qmap_signed(),
        "block8.unsigned": eight.get_qmap_unsigned(),
        "block4.signed": four.get_qmap_signed(),
        "block4.unsigned": four.get_qmap_unsigned(),
    }
    made = {name: torch.tensor(values, dtype=torch.float32) for name, values in made.items()}
    for name, signed in (("block8.signed", True), ("block8.unsigned", False)):
        if not torch.equal(made[name], bnb.functional.create_dynamic_map(signed=signed)):
            raise RuntimeError(f"the tables {name} of torchao and bitsandbytes differ")
    return {name: table.numpy() for name, table in made.items()}


def inputs():
    """Blocks of 256 numbers; their magnitudes are unsigned numbers."""
    rng = np.random.default_rng(8)
    rows = [rng.standard_normal(256) * scale for scale in (1.0, 1e-6, 1e4, 1e-20)]
    spread = rng.standard_normal(256) * 10.0 ** rng.uniform(-8, 0, 256)
    huge = rng.standard_normal(256) * 1e-3
    huge[77] = -1e6
    sparse = rng.standard_normal(256) * (rng.uniform(size=256) < 0.1)
    rows += [spread, huge, sparse, np.zeros(256)]
    return np.concatenate(rows).astype(np.float32)


def codes(all_tables):
    """The codes and scales that torchao gives the inputs.

    No scale of torchao is below 1e-12, also of zeros. The scales of bitsandbytes are the largest magnitudes,
    its codes on the CPU now and then not the nearest: `report` counts them.
    """
    x = torch.tensor(inputs())
    tensors = {"input": x.numpy()}
    for name, block, quantize in (
        ("block8", 256, quantize_8bit_with_qmap),
        ("block4", 128, quantize_4bit_with_qmap),
    ):
        for sign, given in (("signed", x), ("unsigned", x.abs())):
            table = torch.tensor(all_tables[f"{name}.{sign}"])
            scaled, scale = scale_tensor(given, block)
            code = quantize(scaled, table)
            tensors[f"code.{name}.{sign}"] = code.numpy()
            tensors[f"scale.{name}.{sign}"] = scale.numpy()
            report(f"torchao {name} {sign}", given, code, table, block)
            if name == "block8":
                own, state = bnb.functional.quantize_blockwise(given, code=table, blocksize=block)
                if not torch.equal(state.absmax, given.abs().reshape(-1, block).amax(-1)):
                    raise RuntimeError("the scales of bitsandbytes are not the largest magnitudes")
                report(f"bitsandbytes {name} {sign}", given, own, table, block)
    return tensors


def report(name, given, code, table, block):
    """How many codes are not the nearest: those of midpoints of the table, times the scale in f32."""
    rows, found = given.reshape(-1, block).numpy(), code.reshape(-1, block).numpy().astype(int)
    middle = ((table[:-1].double() + table[1:].double()) / 2).float().numpy()
    differ = [
        (np.searchsorted(middle * np.abs(row).max(), row, side="right") != codes).sum()
        for row, codes in zip(rows, found)
        if np.abs(row).max() > 1e-12
    ]
    print(f"{name:28} {sum(differ)} of {len(differ) * block} codes are not those of the midpoints")


def unpacked(codes, name):
    """A code a byte: torchao has two of 4 bits in one, the first in the upper half."""
    # The optimizers write over their codes.
    flat = codes.reshape(-1).numpy().copy()
    return flat if name != "OptimState4bit" else np.stack([flat >> 4, flat & 15], -1).reshape(-1)


def kept(optimizer, params):
    """A state in our names, decoded where the values do not follow from the codes."""
    tensors = {}
    for name, param in params.items():
        state = optimizer.state[param]
        slots = SLOTS if "exp_avg" in state or "state2" in state else {"exp_avg": True}
        for number, slot in enumerate(slots, 1):
            own = state[slot] if slot in state else state[f"state{number}"]
            key = f"{name}.{slot}"
            if hasattr(own, "codes"):
                tensors[f"code.{key}"] = unpacked(own.codes, type(own).__name__)
                tensors[f"scale.{key}"] = own.scale.numpy().copy()
            elif own.dtype == torch.uint8:
                tensors[f"code.{key}"] = unpacked(own, "")
                tensors[f"scale.{key}"] = state[f"absmax{number}"].numpy().copy()
            else:
                tensors[f"state.{key}"] = own.numpy().copy()
        tensors[f"param.{name}"] = param.detach().numpy().copy()
    return tensors


def decoded(optimizer, param):
    """The values of a state's codes by the library's own code."""
    state, sums = optimizer.state[param], {}
    for number, slot in enumerate(SLOTS, 1):
        own = state.get(slot, state.get(f"state{number}"))
        if own is None:
            continue
        if hasattr(own, "dequantize") and hasattr(own, "codes"):
            value = own.dequantize()
        else:
            value = bnb.functional.dequantize_blockwise(
                own, absmax=state[f"absmax{number}"], code=state[f"qmap{number}"], blocksize=256
            )
        sums[f"sum.{slot}"] = np.array([value.double().sum(), value.abs().double().sum()])
        sums[f"state.w.{slot}"] = value.reshape(-1)[::16].numpy().copy()
    return sums


def run(name, folder):
    make, options, rule = RUNS[name]
    params = {key: torch.tensor(value) for key, value in trace().items() if key[:5] == "param"}
    params = {key[6:]: torch.nn.Parameter(value) for key, value in params.items()}
    optimizer = make(list(params.items()), **options)
    tensors, grads = {}, trace()
    for step in range(1, STEPS + 1):
        for key, param in params.items():
            param.grad = torch.tensor(grads[f"grad.{key}"][step - 1])
        optimizer.step()
        if step == STEPS or step in KEPT and "torchao" in name:
            now = kept(optimizer, params)
            if step < STEPS:
                now = {key: value for key, value in now.items() if key != "param.w"}
            tensors |= {f"{step}.{key}": value for key, value in now.items()}
    tensors |= {f"{STEPS}.{key}": value for key, value in decoded(optimizer, params["w"]).items()}
    config = dict(options, optimizer=rule, betas=list(options["betas"]), decoupled=True)
    origin = f"torch {torch.__version__}, {VERSIONS[name.partition('_')[0]]}"
    write(folder, name, tensors, origin=origin, config=json.dumps(config))
    # PyTorch writes the file's first name before that of each tensor.
    torch.save({"optimizer": optimizer.state_dict()}, folder / "c.pt")
    os.rename(folder / "c.pt", folder / f"{name}.pt")
    print(f"{name:28} {len(tensors)} tensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=GOLDEN, help="the folder")
    parser.add_argument("--trace", type=Path, help="write only the parameters and gradients, here")
    given = parser.parse_args()
    check_versions()
    # golden.py has f64, in which torchao would compute other tables.
    torch.set_default_dtype(torch.float32)
    torch.set_num_threads(1)
    if given.trace:
        write(given.trace.parent, given.trace.stem, trace())
        return
    all_tables = tables()
    write(given.out, "tables", all_tables)
    write(given.out, "codes", codes(all_tables))
    for name in RUNS:
        run(name, given.out)
    size = sum(path.stat().st_size for path in given.out.iterdir())
    if size > LARGEST:
        raise RuntimeError(f"the files have {size} bytes, more than {LARGEST}")


if __name__ == "__main__":
    main()
