"""The optimizers of PyTorch whose checkpoints are moved, and runs of them over recorded gradients.

Scalars that PyTorch keeps in the default type (NAdam's `mu_product`, ASGD's `eta` and `mu`) follow the
type of the parameters here, so that a run in float64 is one in float64 throughout.
"""

import numpy as np
import torch

BEFORE = 4  # steps before the checkpoint
STEPS = 9  # all steps; RAdam's rectification begins at the sixth
BETWEEN = 6  # the second checkpoint of a run that moves twice
LATE = 2  # the first gradient of the parameter that joins late
JOINING = "head.weight"

SEED = 11
SHAPES = {"body.weight": (2, 2), "head.weight": (3,)}
GROUPS = ("head.weight", "body.weight")  # in an order that is not the model's
DERIVED = ("step", "mu_product", "eta", "mu")  # they follow from the steps and the options


class Case:
    """An optimizer with options. `decays` says that it has PyTorch's `weight_decay`."""

    def __init__(self, name, kind, decays=True, **options):
        self.name = name
        self.kind = kind
        self.options = dict(options)
        self.decays = decays

    @property
    def rule(self):
        return self.kind.lower()


CASES = [
    Case("adam", "Adam", lr=1e-2),
    Case("adam_amsgrad", "Adam", lr=1e-2, amsgrad=True, weight_decay=0.1),
    Case("adam_betas", "Adam", lr=1e-2, betas=(0.8, 0.95), eps=1e-4, maximize=True),
    Case("adamw", "AdamW", lr=1e-2, weight_decay=0.1),
    Case("adamw_maximize", "AdamW", lr=1e-2, maximize=True, amsgrad=True),
    Case("sgd", "SGD", lr=1e-2),
    Case("sgd_weight_decay", "SGD", lr=1e-2, weight_decay=0.1, maximize=True),
    Case("sgd_momentum", "SGD", lr=1e-2, momentum=0.9),
    Case("sgd_nesterov", "SGD", lr=1e-2, momentum=0.9, nesterov=True, weight_decay=0.1),
    Case("sgd_dampening", "SGD", lr=1e-2, momentum=0.9, dampening=0.5),
    Case("rmsprop", "RMSprop", lr=1e-2),
    Case("rmsprop_centered", "RMSprop", lr=1e-2, centered=True, alpha=0.9),
    Case("rmsprop_momentum", "RMSprop", lr=1e-2, momentum=0.9, weight_decay=0.1),
    Case("rmsprop_all", "RMSprop", lr=1e-2, momentum=0.5, centered=True, eps=1e-4, maximize=True),
    Case("adagrad", "Adagrad", lr=1e-2, weight_decay=0.1),
    Case("adagrad_lr_decay", "Adagrad", lr=1e-2, lr_decay=0.1),
    Case("adagrad_initial", "Adagrad", lr=1e-2, initial_accumulator_value=0.1, lr_decay=0.01),
    Case("adadelta", "Adadelta", lr=1.0),
    Case("adadelta_options", "Adadelta", lr=0.5, rho=0.7, eps=1e-3, weight_decay=0.1),
    Case("adamax", "Adamax", lr=2e-3),
    Case("adamax_options", "Adamax", lr=2e-3, betas=(0.8, 0.95), weight_decay=0.1, maximize=True),
    Case("nadam", "NAdam", lr=2e-3),
    Case("nadam_weight_decay", "NAdam", lr=2e-3, weight_decay=0.1, momentum_decay=0.5),
    Case("nadam_decoupled", "NAdam", lr=2e-3, weight_decay=0.1, decoupled_weight_decay=True),
    Case("radam", "RAdam", lr=1e-3),
    Case("radam_weight_decay", "RAdam", lr=1e-3, weight_decay=0.1, betas=(0.8, 0.95)),
    Case("radam_decoupled", "RAdam", lr=1e-3, weight_decay=0.1, decoupled_weight_decay=True),
    Case("asgd", "ASGD", lr=1e-2),
    Case("asgd_options", "ASGD", lr=1e-2, lambd=0.5, alpha=0.6, t0=3.0, weight_decay=0.1),
    Case("rprop", "Rprop", decays=False, lr=1e-2),
    Case("rprop_options", "Rprop", decays=False, lr=1e-2, etas=(0.3, 1.7), step_sizes=(2e-3, 5e-2)),
]


class Layout:
    """How the parameters are given to the optimizer, and when they get gradients."""

    def __init__(self, name, groups, is_named, joins=0, before=BEFORE):
        self.name = name
        self.groups = groups
        self.is_named = is_named
        self.joins = joins
        self.before = before

    def order(self):
        """The names in the order of the groups."""
        return GROUPS if self.groups == 2 else tuple(SHAPES)

    def first(self, name):
        """The first gradient of a parameter."""
        return self.joins if name == JOINING else 0


LAYOUTS = [
    Layout("one group", 1, False),
    Layout("one group, names", 1, True),
    Layout("two groups", 2, False),
    Layout("two groups, names", 2, True),
    Layout("one joins early", 1, True, joins=LATE),
    Layout("one joins late", 2, False, joins=BEFORE),
    Layout("before step 1", 2, True, before=0),
]


def recorded():
    """Initial parameters and the gradients of every step, as float32; none is near 0, so that nothing cancels."""
    rng = np.random.default_rng(SEED)

    def numbers(shape):
        sign = rng.choice([-1.0, 1.0], shape)
        return (sign * rng.uniform(0.25, 2.0, shape)).astype(np.float32)

    tensors = {f"param.{name}": numbers(shape) for name, shape in SHAPES.items()}
    tensors |= {f"grad.{name}": numbers((STEPS, *shape)) for name, shape in SHAPES.items()}
    return tensors


def group_options(case):
    """The options of the second group alone."""
    own = {"lr": case.options["lr"] * 0.25}
    return own | {"weight_decay": 0.05} if case.decays else own


class Run:
    """A model of bare parameters with its optimizer."""

    def __init__(self, case, layout, trace, dtype):
        torch.set_default_dtype(dtype)
        self.layout = layout
        self.dtype = dtype
        self.trace = trace
        self.model = {
            name: torch.nn.Parameter(torch.tensor(trace[f"param.{name}"]).to(dtype))
            for name in SHAPES
        }
        given = {
            name: (name, param) if layout.is_named else param for name, param in self.model.items()
        }
        groups = [list(given.values())]
        if layout.groups == 2:
            groups = [
                {"params": [given[name]]} | own
                for name, own in zip(GROUPS, ({}, group_options(case)))
            ]
        else:
            [groups] = groups
        self.optimizer = getattr(torch.optim, case.kind)(groups, **case.options)

    def step(self, steps):
        """Takes some of the recorded steps; returns what was there after each."""
        torch.set_default_dtype(self.dtype)
        seen = []
        for step in steps:
            for name, param in self.model.items():
                grad = torch.tensor(self.trace[f"grad.{name}"][step]).to(self.dtype)
                param.grad = grad if step >= self.layout.first(name) else None
            self.optimizer.step()
            seen.append(self.values())
        return seen

    def values(self):
        """Parameters and slots, in the names of this crate."""
        values = {}
        for name, param in self.model.items():
            values[f"param.{name}"] = param.detach().double().numpy().copy()
            for slot, tensor in self.optimizer.state.get(param, {}).items():
                if slot not in DERIVED and tensor is not None:
                    values[f"state.{name}.{slot}"] = tensor.double().numpy().copy()
        return values

    def derived(self):
        """The numbers that follow from the steps and the options."""
        return {
            f"{slot} of {name}": np.float64(state[slot])
            for name, param in self.model.items()
            for state in [self.optimizer.state.get(param, {})]
            for slot in DERIVED
            if slot in state
        }

    def save(self, path):
        model = {name: param.detach() for name, param in self.model.items()}
        torch.save({"model": model, "optimizer": self.optimizer.state_dict()}, path)

    def load(self, path):
        torch.set_default_dtype(self.dtype)
        saved = torch.load(path, weights_only=True)
        with torch.no_grad():
            for name, param in self.model.items():
                assert saved["model"][name].dtype == param.dtype, name
                param.copy_(saved["model"][name])
        self.optimizer.load_state_dict(saved["optimizer"])


def config(case, layout):
    """The CONFIG that gives the same numbers here."""
    decoupled = case.kind == "AdamW" or case.options.get("decoupled_weight_decay", False)
    # The default of AdamW that is not 0.
    decay = {"weight_decay": 0.01} if case.kind == "AdamW" else {}
    options = decay | {k: v for k, v in case.options.items() if k != "decoupled_weight_decay"}
    whole = {"optimizer": case.rule, "convention": "pytorch", **options}
    if case.decays:
        whole["decoupled"] = decoupled
    if layout.groups == 2:
        first, second = GROUPS
        whole["params"] = [first]
        whole["groups"] = [{"params": [second], **group_options(case)}]
    return whole
