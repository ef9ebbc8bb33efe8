"""Makes the golden files in tests/golden with the optimizers of PyTorch, Optax and Keras.

Every case runs the origin's own optimizer in float64 over one recorded trace of
gradients (`trace.safetensors`, float32) and stores the parameters after each step,
the state after the last one and the learning rates. Each result is also replayed
from its formula in plain NumPy, so that nothing rounded to float32 on the way (a
hyper-parameter, a learning rate) can slip into a golden file.

Slots carry PyTorch's names whatever the origin, but hold what the origin keeps:
`momentum_buffer` of RMSprop includes the learning rate in Keras, and the negated
learning rate in Optax. `lr` of Adagrad is the rate before `lr_decay`.

    pip install -r tools/requirements.txt
    python tools/golden.py
"""

import importlib.metadata
import inspect
import json
import operator
import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import numpy as np
import optax
import torch
from safetensors import safe_open

from golden_file import write

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_enable_x64", True)
keras.config.set_floatx("float64")

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
REQUIREMENTS = ROOT / "tools" / "requirements.txt"
TORCH = "2.15."

SEED = 20
STEPS = 12
WIDTH = 43
LATE_WIDTH = 5
LATE_STEP = 6  # the parameter `late` joins after this many steps
SCHEDULE = [1.0, 0.3, 2.0, 0.1, 5.0, 0.5, 10.0, 0.2, 1.5, 3.0, 0.7, 4.0]  # times the case's rate
TOLERANCE = 1e-13  # of a replay, relative to the largest value its column ever had

MODULES = {"torch": torch, "optax": optax, "keras": keras}

# The hyper-parameters of each optimizer, spelled out so that no default can drift.
BASE = {
    "torch.optim.Adam": dict(lr=1e-2, betas=(0.9, 0.999), eps=1e-8),
    "torch.optim.AdamW": dict(lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1),
    "torch.optim.RMSprop": dict(lr=1e-2, alpha=0.99, eps=1e-8),
    "torch.optim.SGD": dict(lr=1e-3),
    "torch.optim.Adagrad": dict(lr=1e-2, eps=1e-10),
    "optax.adam": dict(learning_rate=1e-2, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0),
    "optax.adamw": dict(
        learning_rate=1e-2, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, weight_decay=0.1
    ),
    "optax.lion": dict(learning_rate=1e-2, b1=0.9, b2=0.99, weight_decay=0.0),
    "optax.rmsprop": dict(learning_rate=1e-2, decay=0.9, eps=1e-8, eps_in_sqrt=True),
    "optax.sgd": dict(learning_rate=1e-3),
    "keras.optimizers.RMSprop": dict(learning_rate=1e-2, rho=0.9, epsilon=1e-7),
    "keras.optimizers.Adam": dict(learning_rate=1e-2, beta_1=0.9, beta_2=0.999, epsilon=1e-7),
    "keras.optimizers.AdamW": dict(
        learning_rate=1e-2, beta_1=0.9, beta_2=0.999, epsilon=1e-7, weight_decay=0.1
    ),
}


class Case:
    """One golden file: an origin's constructor and what it is given over its BASE."""

    def __init__(self, name, build, scheduled=False, late=False, **extra):
        self.name = name
        self.build = build
        self.scheduled = scheduled  # the learning rate follows SCHEDULE
        self.late = late  # a second parameter joins after LATE_STEP
        self.extra = extra

    @property
    def origin(self):
        return self.build.partition(".")[0]

    @property
    def rate_name(self):
        return "lr" if self.origin == "torch" else "learning_rate"

    @property
    def arguments(self):
        """The keyword arguments of the constructor, in the origin's own names."""
        arguments = BASE[self.build] | self.extra
        if self.origin == "torch":  # the plain implementation, one tensor at a time
            plain = {"foreach": False, "fused": False}
            known = inspect.signature(self.constructor).parameters
            arguments |= {key: value for key, value in plain.items() if key in known}
        return arguments

    @property
    def constructor(self):
        module, _, path = self.build.partition(".")
        return operator.attrgetter(path)(MODULES[module])

    @property
    def rates(self):
        rate = self.arguments[self.rate_name]
        return np.array([rate * f for f in (SCHEDULE if self.scheduled else [1.0] * STEPS)])

    @property
    def call(self):
        """The constructor's call, for a person to read."""
        shown = {key: repr(value) for key, value in self.arguments.items()}
        if self.scheduled:
            shown[self.rate_name] = "schedule"
        arguments = ["[w]"] * (self.origin == "torch")
        arguments += [f"{key}={value}" for key, value in shown.items()]
        text = f"{self.build}({', '.join(arguments)})"
        if self.late:
            text += f'; add_param_group({{"params": [late]}}) after step {LATE_STEP}'
        return text


CASES = [
    Case("torch_adam", "torch.optim.Adam"),
    Case("torch_adam_amsgrad", "torch.optim.Adam", amsgrad=True),
    Case("torch_adam_weight_decay", "torch.optim.Adam", weight_decay=0.1),
    Case("torch_adam_maximize", "torch.optim.Adam", maximize=True),
    Case(
        "torch_adam_amsgrad_weight_decay_maximize",
        "torch.optim.Adam",
        amsgrad=True,
        weight_decay=0.1,
        maximize=True,
    ),
    Case("torch_adam_betas", "torch.optim.Adam", betas=(0.8, 0.95), eps=1e-4),
    Case("torch_adam_lr_schedule", "torch.optim.Adam", scheduled=True),
    Case("torch_adam_added_later", "torch.optim.Adam", late=True),
    Case("torch_adamw", "torch.optim.AdamW"),
    Case("torch_adamw_amsgrad", "torch.optim.AdamW", amsgrad=True),
    Case("torch_adamw_maximize", "torch.optim.AdamW", maximize=True),
    Case("torch_rmsprop", "torch.optim.RMSprop"),
    Case("torch_rmsprop_centered", "torch.optim.RMSprop", centered=True),
    Case("torch_rmsprop_momentum", "torch.optim.RMSprop", momentum=0.9),
    Case("torch_rmsprop_centered_momentum", "torch.optim.RMSprop", centered=True, momentum=0.9),
    Case("torch_rmsprop_weight_decay", "torch.optim.RMSprop", weight_decay=0.1),
    Case("torch_rmsprop_maximize", "torch.optim.RMSprop", maximize=True),
    Case(
        "torch_rmsprop_all",
        "torch.optim.RMSprop",
        alpha=0.9,
        eps=1e-4,
        centered=True,
        momentum=0.9,
        weight_decay=0.1,
        maximize=True,
    ),
    Case("torch_rmsprop_momentum_lr_schedule", "torch.optim.RMSprop", scheduled=True, momentum=0.9),
    Case("torch_sgd", "torch.optim.SGD"),
    Case("torch_sgd_momentum", "torch.optim.SGD", momentum=0.9),
    Case("torch_sgd_dampening", "torch.optim.SGD", momentum=0.9, dampening=0.5),
    Case("torch_sgd_nesterov", "torch.optim.SGD", momentum=0.9, nesterov=True),
    Case("torch_sgd_weight_decay", "torch.optim.SGD", weight_decay=0.1),
    Case("torch_sgd_maximize", "torch.optim.SGD", maximize=True),
    Case(
        "torch_sgd_all",
        "torch.optim.SGD",
        momentum=0.9,
        nesterov=True,
        weight_decay=0.1,
        maximize=True,
    ),
    Case("torch_sgd_momentum_lr_schedule", "torch.optim.SGD", scheduled=True, momentum=0.9),
    Case("torch_adagrad", "torch.optim.Adagrad"),
    Case("torch_adagrad_lr_decay", "torch.optim.Adagrad", lr_decay=0.1),
    Case(
        "torch_adagrad_initial_accumulator_value",
        "torch.optim.Adagrad",
        initial_accumulator_value=0.1,
    ),
    Case("torch_adagrad_weight_decay", "torch.optim.Adagrad", weight_decay=0.1),
    Case("torch_adagrad_maximize", "torch.optim.Adagrad", maximize=True),
    Case("optax_adam", "optax.adam"),
    Case("optax_adam_eps_root", "optax.adam", eps=0.0, eps_root=1e-16),
    Case("optax_adamw", "optax.adamw"),
    Case("optax_lion", "optax.lion"),
    Case("optax_lion_weight_decay", "optax.lion", b1=0.95, b2=0.98, weight_decay=0.1),
    Case("optax_rmsprop", "optax.rmsprop"),
    Case("optax_rmsprop_centered", "optax.rmsprop", centered=True),
    Case("optax_rmsprop_momentum", "optax.rmsprop", momentum=0.9),
    Case("optax_rmsprop_momentum_lr_schedule", "optax.rmsprop", scheduled=True, momentum=0.9),
    Case("optax_sgd_nesterov", "optax.sgd", momentum=0.9, nesterov=True),
    Case("keras_rmsprop", "keras.optimizers.RMSprop"),
    Case("keras_rmsprop_momentum", "keras.optimizers.RMSprop", momentum=0.9),
    Case("keras_rmsprop_centered", "keras.optimizers.RMSprop", centered=True),
    Case(
        "keras_rmsprop_centered_momentum",
        "keras.optimizers.RMSprop",
        centered=True,
        momentum=0.9,
    ),
    Case(
        "keras_rmsprop_momentum_lr_schedule",
        "keras.optimizers.RMSprop",
        scheduled=True,
        momentum=0.9,
    ),
    Case("keras_adam", "keras.optimizers.Adam"),
    Case("keras_adamw", "keras.optimizers.AdamW"),
    Case("keras_adam_amsgrad", "keras.optimizers.Adam", amsgrad=True),
]


def make_trace():
    """Initial parameters and the gradients of every step, as float32.

    A column's gradients share one magnitude, from 1e-6 in the first to 1e3 in the last.
    """
    rng = np.random.default_rng(SEED)
    scale = 10.0 ** np.linspace(-6, 3, WIDTH)
    param = rng.standard_normal(WIDTH)
    param[[0, 5, 14, 31]] = 0.0
    param[[10, 22, 40]] *= 1e3
    param[[7, 24, 36]] *= 1e-3

    grad = rng.standard_normal((STEPS, WIDTH)) * scale
    constant = [8, 17, 30, 38]
    grad[:, constant] = scale[constant] * [1, -1, 1, -1]
    grad[:, [5, 20, 42]] = 0.0  # always zero
    grad[:6, 3] = 0.0  # starts late
    grad[::2, 12] = 0.0  # every other step
    grad[1:, 27] = 0.0  # a single spike
    grad[6:, 33] = 0.0  # stops early

    trace = {
        "param.w": param,
        "grad.w": grad,
        "param.late": rng.standard_normal(LATE_WIDTH),
        "grad.late": rng.standard_normal((STEPS, LATE_WIDTH))
        * 10.0 ** np.linspace(-4, 2, LATE_WIDTH),
    }
    return {name: values.astype(np.float32) for name, values in trace.items()}


def as_float64(what, values):
    """A copy of what an origin holds, which has to be float64 there already."""
    values = np.asarray(values).copy()
    if values.dtype != np.float64:
        raise TypeError(f"{what} is {values.dtype}, not float64")
    return values


# Each run_* takes a case and the trace in float64, and returns, for each parameter by
# name, its value after each of its steps and its state slots after the last one.


def run_torch(case, trace):
    params = {}

    def parameter(name):
        params[name] = torch.nn.Parameter(torch.tensor(trace[f"param.{name}"]))
        return params[name]

    optimizer = case.constructor([parameter("w")], **case.arguments)
    history = {}
    for step, rate in enumerate(case.rates):
        if case.late and step == LATE_STEP:
            optimizer.add_param_group({"params": [parameter("late")]})
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        for name, param in params.items():
            param.grad = torch.tensor(trace[f"grad.{name}"][step])
        optimizer.step()
        for name, param in params.items():
            history.setdefault(name, []).append(param.detach().numpy().copy())

    def slots(param):
        # `step` is a float32 tensor by PyTorch's design and holds a whole number
        state = optimizer.state[param]
        return {k: v for k, v in state.items() if k != "step" and v is not None}

    return {name: (history[name], slots(param)) for name, param in params.items()}


def run_optax(case, trace):
    arguments = case.arguments
    if case.scheduled:
        rates = jax.numpy.asarray(case.rates)
        arguments |= {"learning_rate": lambda count: rates[count]}
    transform = case.constructor(**arguments)
    slots = {
        "mu": "grad_avg" if "rmsprop" in case.build else "exp_avg",
        "nu": "square_avg" if "rmsprop" in case.build else "exp_avg_sq",
        "trace": "momentum_buffer",
    }

    param = jax.numpy.asarray(trace["param.w"])
    state = transform.init(param)
    history = []
    for grad in trace["grad.w"]:
        updates, state = transform.update(jax.numpy.asarray(grad), state, param)
        param = optax.apply_updates(param, updates)
        history.append(param)
    kept = {ours: optax.tree.get(state, theirs) for theirs, ours in slots.items()}
    return {"w": (history, {slot: v for slot, v in kept.items() if v is not None})}


class Tabled(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate for each step, from a table."""

    def __init__(self, rates):
        self.rates = rates

    def __call__(self, step):
        return self.rates[int(step)]


def run_keras(case, trace):
    arguments = case.arguments
    if case.scheduled:
        arguments |= {"learning_rate": Tabled(case.rates)}
    optimizer = case.constructor(**arguments)
    if "Adam" in case.build:
        slots = {
            "w_momentum": "exp_avg",
            "w_velocity": "exp_avg_sq",
            "w_velocity_hat": "max_exp_avg_sq",
        }
    else:
        slots = {
            "w_velocity": "square_avg",
            "w_average_gradient": "grad_avg",
            "w_momentum": "momentum_buffer",
        }

    param = keras.Variable(trace["param.w"], name="w", dtype="float64")
    history = []
    for grad in trace["grad.w"]:
        as_float64("learning_rate", optimizer.learning_rate)
        optimizer.apply([jax.numpy.asarray(grad)], [param])
        history.append(param.value)
    kept = {v.name: v.value for v in optimizer.variables}
    kept = {k: v for k, v in kept.items() if k not in ("iteration", "learning_rate")}
    return {"w": (history, {slots[name]: v for name, v in kept.items()})}


RUN = {"torch": run_torch, "optax": run_optax, "keras": run_keras}


# The formulas. Each takes the origin, its hyper-parameters under PyTorch's names, the
# rate, the step's number from 1, the parameter, the gradient and the state's slots by
# name (as they start), and returns the parameter; it updates the slots in place.

PYTORCH_NAMES = {
    "learning_rate": "lr",
    "decay": "alpha",
    "rho": "alpha",
    "epsilon": "eps",
    "b1": "beta1",
    "b2": "beta2",
    "beta_1": "beta1",
    "beta_2": "beta2",
}


def adam_formula(origin, h, lr, t, p, g, s):
    b1, b2 = h["betas"] if "betas" in h else (h["beta1"], h["beta2"])
    s["exp_avg"] = b1 * s["exp_avg"] + (1 - b1) * g
    s["exp_avg_sq"] = v = b2 * s["exp_avg_sq"] + (1 - b2) * g * g
    if h.get("amsgrad"):
        s["max_exp_avg_sq"] = v = np.maximum(s["max_exp_avg_sq"], v)
    correct = 1 - b2**t
    denominator = {
        "torch": lambda: np.sqrt(v) / np.sqrt(correct) + h["eps"],
        "optax": lambda: np.sqrt(v / correct + h["eps_root"]) + h["eps"],
        "keras": lambda: (np.sqrt(v) + h["eps"]) / np.sqrt(correct),
    }[origin]()
    return p - lr / (1 - b1**t) * s["exp_avg"] / denominator


def rmsprop_formula(origin, h, lr, t, p, g, s):
    a = h["alpha"]
    s["square_avg"] = v = a * s["square_avg"] + (1 - a) * g * g
    if h.get("centered"):
        s["grad_avg"] = a * s["grad_avg"] + (1 - a) * g
        v = v - s["grad_avg"] ** 2
    scaled = g / (np.sqrt(v) + h["eps"] if origin == "torch" else np.sqrt(v + h["eps"]))
    inside, outside = {"torch": (1, -lr), "optax": (-lr, 1), "keras": (lr, -1)}[origin]
    s["momentum_buffer"] = h.get("momentum", 0) * s["momentum_buffer"] + inside * scaled
    return p + outside * s["momentum_buffer"]


def sgd_formula(origin, h, lr, t, p, g, s):
    momentum = h.get("momentum", 0)
    damped = 1 if t == 1 else 1 - h.get("dampening", 0)
    s["momentum_buffer"] = momentum * s["momentum_buffer"] + damped * g
    if momentum:
        g = g + momentum * s["momentum_buffer"] if h.get("nesterov") else s["momentum_buffer"]
    return p - lr * g


def adagrad_formula(origin, h, lr, t, p, g, s):
    s["sum"] = s["sum"] + g * g
    return p - lr / (1 + (t - 1) * h.get("lr_decay", 0)) * g / (np.sqrt(s["sum"]) + h["eps"])


def lion_formula(origin, h, lr, t, p, g, s):
    update = np.sign(h["beta1"] * s["exp_avg"] + (1 - h["beta1"]) * g)
    s["exp_avg"] = h["beta2"] * s["exp_avg"] + (1 - h["beta2"]) * g
    return p - lr * update


FORMULA = {
    "adam": adam_formula,
    "adamw": adam_formula,
    "rmsprop": rmsprop_formula,
    "sgd": sgd_formula,
    "adagrad": adagrad_formula,
    "lion": lion_formula,
}


def replay(case, param, grads, rates):
    """The parameters and the slots after every step, by the formula in plain NumPy."""
    rule = case.build.rpartition(".")[2].lower()
    h = {PYTORCH_NAMES.get(key, key): value for key, value in case.arguments.items()}
    decay = h.get("weight_decay", 0)
    slots = dict.fromkeys(
        ["exp_avg", "exp_avg_sq", "max_exp_avg_sq", "square_avg", "grad_avg"]
        + ["momentum_buffer", "sum"],
        np.zeros_like(param),
    )
    slots["sum"] = slots["sum"] + h.get("initial_accumulator_value", 0)
    params, states = [param], [dict(slots)]
    for t, (grad, rate) in enumerate(zip(grads, rates, strict=True), start=1):
        g = -grad if h.get("maximize") else grad
        if rule in ("adamw", "lion"):  # decoupled
            param = param * (1 - rate * decay)
        else:
            g = g + decay * param
        param = FORMULA[rule](case.origin, h, rate, t, param, g, slots)
        params.append(param)
        states.append(dict(slots))
    return np.stack(params), {slot: np.stack([s[slot] for s in states]) for slot in slots}


def deviation(actual, expected):
    """The worst difference, relative to the largest value that each column ever had."""
    rows = actual.reshape(-1, actual.shape[-1])
    scale = np.abs(expected).max(axis=0)
    return np.max(np.abs(rows - expected[-len(rows) :]) / np.where(scale == 0, 1, scale))


def run(case, trace):
    """Runs a case, checks it against its formula and returns the tensors of its file."""
    tensors = {"lr": case.rates}
    for name, (history, slots) in RUN[case.origin](case, trace).items():
        params = np.stack([as_float64(f"param.{name}", value) for value in history])
        rates = case.rates[-len(params) :]
        param, grads = trace[f"param.{name}"], trace[f"grad.{name}"][-len(params) :]
        expected, states = replay(case, param, grads, rates)

        tensors[f"param.{name}"] = params
        worst = {f"param.{name}": deviation(params, expected)}
        for slot, value in slots.items():
            key = f"state.{name}.{slot}"
            tensors[key] = as_float64(key, value)
            worst[key] = deviation(tensors[key], states[slot])
        for key, value in worst.items():
            if not value <= TOLERANCE:
                raise ValueError(f"{case.name}: {key} is {value:.1e} off its formula")
    return tensors


def check_versions():
    if not torch.__version__.startswith(TORCH):
        raise RuntimeError(f"torch {torch.__version__} is not {TORCH}x")
    for line in REQUIREMENTS.read_text().splitlines():
        if line and not line.startswith("#"):
            package, _, wanted = line.partition("==")
            found = importlib.metadata.version(package)
            if found != wanted:
                raise RuntimeError(f"{package} {found} is not the {wanted} of {REQUIREMENTS.name}")


def read(name):
    with safe_open(GOLDEN / f"{name}.safetensors", framework="numpy") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()


def print_table():
    """Reads every file back, checks what it holds and prints one line for it."""
    print(f"{'case':42} {'origin':13} {'tensors':>7} {'worst |param|':>14}  NaN")
    for name in ["trace"] + [case.name for case in CASES]:
        tensors, metadata = read(name)
        steps = [] if name == "trace" else [STEPS]
        dtype = np.float32 if name == "trace" else np.float64
        if any(values.dtype != dtype for values in tensors.values()):
            raise TypeError(f"{name}: not all tensors are {dtype.__name__}")
        if tensors["param.w"].shape != (*steps, WIDTH):
            raise ValueError(f"{name}: param.w has the shape {tensors['param.w'].shape}")
        nan = [key for key, values in tensors.items() if np.isnan(values).any()]
        worst = max(np.abs(v).max() for key, v in tensors.items() if key.startswith("param."))
        origin = metadata["origin"]
        print(f"{name:42} {origin:13} {len(tensors):7} {worst:14.6g}  {', '.join(nan) or 'no'}")


def main():
    check_versions()
    trace = make_trace()
    write(GOLDEN, "trace", trace, origin=f"numpy {np.__version__}", call=f"make_trace(), seed {SEED}")
    trace = {name: values.astype(np.float64) for name, values in trace.items()}
    for case in CASES:
        origin = f"{case.origin} {importlib.metadata.version(case.origin)}"
        write(GOLDEN, case.name, run(case, trace), origin=origin, call=case.call)
    print_table()


if __name__ == "__main__":
    main()
