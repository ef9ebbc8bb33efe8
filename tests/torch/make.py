"""Makes the checkpoints beside this file with PyTorch: one of each optimizer, and tensors of every layout.

    python tests/torch/make.py
"""

from pathlib import Path

import torch
from torch import optim

HERE = Path(__file__).parent
STEPS = 3

# The file's name, the class, its options.
OPTIMIZERS = [
    ("adam", optim.Adam, {}),
    ("adam_amsgrad", optim.Adam, {"amsgrad": True, "weight_decay": 0.1, "maximize": True}),
    ("adamw", optim.AdamW, {"lr": torch.tensor(0.25)}),
    ("sgd", optim.SGD, {}),
    ("sgd_momentum", optim.SGD, {"momentum": 0.9, "dampening": 0.1}),
    ("rmsprop", optim.RMSprop, {}),
    ("rmsprop_all", optim.RMSprop, {"centered": True, "momentum": 0.5}),
    ("adagrad", optim.Adagrad, {"lr_decay": 0.01, "initial_accumulator_value": 0.5}),
    ("adadelta", optim.Adadelta, {}),
    ("adamax", optim.Adamax, {}),
    ("nadam", optim.NAdam, {"decoupled_weight_decay": True, "weight_decay": 0.01}),
    ("radam", optim.RAdam, {}),
    ("asgd", optim.ASGD, {"t0": 1.0}),
    ("rprop", optim.Rprop, {}),
]


def save(value, name, **options):
    path = HERE / f"{name}.pt"
    torch.save(value, path, **options)
    assert path.stat().st_size < 4096, path


def main():
    for name, kind, options in OPTIMIZERS:
        weight = torch.nn.Parameter(torch.tensor([[0.5, -1.0, 2.0], [0.25, 0.0, -3.0]]))
        optimizer = kind([("weight", weight)], **options)
        for step in range(STEPS):
            weight.grad = weight.detach() * (step + 1) + 0.5
            optimizer.step()
        save({"model": {"weight": weight.detach()}, "optimizer": optimizer.state_dict()}, name)

    # Adagrad's state before its first step, in two groups without names.
    params = [torch.nn.Parameter(torch.ones(n)) for n in (2, 3)]
    optimizer = optim.Adagrad(
        [{"params": params[:1]}, {"params": params[1:], "lr": 0.5}], initial_accumulator_value=0.5
    )
    model = {name: param.detach() for name, param in zip("ab", params)}
    save(
        {"epoch": 7, "state_dict": model, "optimizer_state_dict": optimizer.state_dict()},
        "groups",
        pickle_protocol=4,
    )

    rows = torch.arange(24.0).reshape(4, 6)
    layouts = {
        "rows": rows,
        "transposed": rows.T,
        "window": rows[1:3, 2:5],
        "column": rows[:, 1],
        "permuted": torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1),
        "expanded": torch.tensor(3.0).expand(4),
        "empty": torch.zeros(0, 3),
        "half": rows[0].half(),
        "bfloat16": rows[0].bfloat16(),
        "double": rows[0].double(),
        "int64": torch.arange(3),
        "bool": torch.tensor([True, False]),
        "parameter": torch.nn.Parameter(rows),
    }
    save(layouts, "layouts")
    save({"w": torch.tensor(1.0).expand(1000, 1000)}, "repeated")
    save(torch.ones(2), "old", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
