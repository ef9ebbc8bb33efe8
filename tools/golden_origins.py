"""Optimizers of other libraries over one trace: their arguments, the names of their state, runs in float64."""

import importlib
import math
import operator
import os

os.environ["KERAS_BACKEND"] = "jax"

import adam_atan2_pytorch
import jax
import keras
import lion_pytorch
import numpy as np
import optax
import optax.contrib
import pytorch_optimizer
import schedulefree
import torch

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_enable_x64", True)
keras.config.set_floatx("float64")
torch.set_default_dtype(torch.float64)  # of scalars like the product of NAdam's momenta, too

MODULES = {
    "adam_atan2_pytorch": adam_atan2_pytorch,
    "keras": keras,
    "lion_pytorch": lion_pytorch,
    "optax": optax,
    "pytorch_optimizer": pytorch_optimizer,
    "schedulefree": schedulefree,
    "torch": torch,
}
LATE_STEP = 6  # the parameter `late` joins after this many steps


class Origin:
    """An optimizer of another library.

    `arguments` are its hyper-parameters, spelled out so that no default can drift. `config` is what
    gives the same numbers here. `slots` has our name for each of its names of state; a minus says that
    it keeps the negated number.
    """

    def __init__(self, arguments, config, slots=None):
        self.arguments = arguments
        self.config = config
        self.slots = slots or {}


def torch_betas(lr, betas=(0.9, 0.999), **more):
    return dict(lr=lr, betas=betas, **more)


def optax_betas(rate, b1=0.9, b2=0.999, **more):
    return dict(learning_rate=rate, b1=b1, b2=b2, **more)


def keras_betas(rate, beta_1=0.9, beta_2=0.999, **more):
    return dict(learning_rate=rate, beta_1=beta_1, beta_2=beta_2, **more)


def named(optimizer, convention=None, **more):
    return dict(optimizer=optimizer) | (dict(convention=convention) if convention else {}) | more


AVERAGES = {"mu": "exp_avg", "nu": "exp_avg_sq"}
MOMENTS = {"momentum": "exp_avg", "velocity": "exp_avg_sq", "velocity_hat": "max_exp_avg_sq"}
DECAY = dict(weight_decay=0.1, decoupled=True)

# PyTorch's names of state are ours, and an origin without `slots` has them, too.
ORIGINS = {
    "torch.optim.Adam": Origin(torch_betas(1e-2, eps=1e-8), named("adam", "pytorch")),
    "torch.optim.AdamW": Origin(
        torch_betas(1e-2, eps=1e-8, weight_decay=0.1), named("adam", "pytorch", **DECAY)
    ),
    "torch.optim.RMSprop": Origin(dict(lr=1e-2, alpha=0.99, eps=1e-8), named("rmsprop", "pytorch")),
    "torch.optim.SGD": Origin(dict(lr=1e-3), named("sgd", "pytorch")),
    "torch.optim.Adagrad": Origin(dict(lr=1e-2, eps=1e-10), named("adagrad", "pytorch")),
    "torch.optim.NAdam": Origin(
        torch_betas(2e-3, eps=1e-8, momentum_decay=4e-3), named("nadam", "pytorch")
    ),
    "torch.optim.RAdam": Origin(torch_betas(1e-3, eps=1e-8), named("radam", "pytorch")),
    "torch.optim.Adamax": Origin(torch_betas(2e-3, eps=1e-8), named("adamax", "pytorch")),
    "torch.optim.Adadelta": Origin(dict(lr=1.0, rho=0.9, eps=1e-6), named("adadelta", "pytorch")),
    "torch.optim.ASGD": Origin(
        dict(lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6), named("asgd", "pytorch")
    ),
    "torch.optim.Rprop": Origin(
        dict(lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50.0)), named("rprop", "pytorch")
    ),
    "optax.adam": Origin(optax_betas(1e-2, eps=1e-8, eps_root=0.0), named("adam", "optax"), AVERAGES),
    "optax.adamw": Origin(
        optax_betas(1e-2, eps=1e-8, eps_root=0.0, weight_decay=0.1),
        named("adam", "optax", **DECAY),
        AVERAGES,
    ),
    "optax.nadam": Origin(
        optax_betas(1e-2, eps=1e-8, eps_root=0.0), named("adam", "optax", nesterov=True), AVERAGES
    ),
    "optax.nadamw": Origin(
        optax_betas(1e-2, eps=1e-8, eps_root=0.0, weight_decay=0.1),
        named("adam", "optax", nesterov=True, **DECAY),
        AVERAGES,
    ),
    "optax.amsgrad": Origin(
        optax_betas(1e-2, eps=1e-8, eps_root=0.0),
        named("adam", "optax", amsgrad_corrected=True),
        AVERAGES | {"nu_max": "max_exp_avg_sq"},
    ),
    "optax.lion": Origin(
        optax_betas(1e-2, b2=0.99, weight_decay=0.0), named("lion", "optax"), {"mu": "exp_avg"}
    ),
    "optax.rmsprop": Origin(
        dict(learning_rate=1e-2, decay=0.9, eps=1e-8, eps_in_sqrt=True),
        named("rmsprop", "optax"),
        {"mu": "grad_avg", "nu": "square_avg", "trace": "-momentum_buffer"},
    ),
    "tensorflow.compat.v1.train.RMSPropOptimizer": Origin(
        dict(learning_rate=1e-2, decay=0.9, epsilon=1e-10),
        named("rmsprop", "tf1"),
        {"rms": "square_avg", "mg": "grad_avg", "momentum": "momentum_buffer"},
    ),
    "optax.sgd": Origin(
        dict(learning_rate=1e-3), named("sgd", "optax"), {"trace": "momentum_buffer"}
    ),
    "optax.sign_sgd": Origin(dict(learning_rate=1e-3), named("signum", momentum=0.0)),
    "optax.adagrad": Origin(
        dict(learning_rate=1e-2, initial_accumulator_value=0.1, eps=1e-7),
        named("adagrad", "optax"),
        {"sum_of_squares": "sum"},
    ),
    "optax.adadelta": Origin(
        dict(learning_rate=1.0, rho=0.9, eps=1e-6),
        named("adadelta", "optax"),
        {"e_g": "square_avg", "e_x": "acc_delta"},
    ),
    "optax.adamax": Origin(
        optax_betas(2e-3, eps=1e-8), named("adamax", "optax"), {"mu": "exp_avg", "nu": "exp_inf"}
    ),
    "optax.adamaxw": Origin(
        optax_betas(2e-3, eps=1e-8, weight_decay=0.1),
        named("adamax", "optax", **DECAY),
        {"mu": "exp_avg", "nu": "exp_inf"},
    ),
    "optax.radam": Origin(
        optax_betas(1e-3, eps=1e-8, eps_root=0.0, threshold=5.0), named("radam", "optax"), AVERAGES
    ),
    "optax.adabelief": Origin(
        optax_betas(1e-3, eps=1e-16, eps_root=1e-16),
        named("adabelief", "optax"),
        {"mu": "exp_avg", "nu": "exp_avg_var"},
    ),
    "optax.yogi": Origin(optax_betas(1e-2, eps=1e-3), named("yogi", "optax"), AVERAGES),
    "optax.adan": Origin(
        optax_betas(1e-3, b1=0.98, b2=0.92, b3=0.99, eps=1e-8, eps_root=1e-8),
        named("adan", "optax"),
        {"m": "exp_avg", "v": "exp_avg_diff", "n": "exp_avg_sq", "g": "prev_grad"},
    ),
    "optax.contrib.ademamix": Origin(
        optax_betas(1e-3, b3=0.9999, alpha=5.0, eps=1e-8, eps_root=0.0),
        named("ademamix", "optax"),
        {"m1": "exp_avg", "m2": "exp_avg_slow", "nu": "exp_avg_sq"},
    ),
    "optax.contrib.adopt": Origin(
        optax_betas(1e-3, b2=0.9999, eps=1e-6), named("adopt", "optax"), AVERAGES
    ),
    "keras.optimizers.RMSprop": Origin(
        dict(learning_rate=1e-2, rho=0.9, epsilon=1e-7),
        named("rmsprop", "keras"),
        {
            "velocity": "square_avg",
            "average_gradient": "grad_avg",
            "momentum": "momentum_buffer",
        },
    ),
    "keras.optimizers.Adam": Origin(keras_betas(1e-2, epsilon=1e-7), named("adam", "keras"), MOMENTS),
    "keras.optimizers.AdamW": Origin(
        keras_betas(1e-2, epsilon=1e-7, weight_decay=0.1), named("adam", "keras", **DECAY), MOMENTS
    ),
    "keras.optimizers.Nadam": Origin(
        keras_betas(1e-3, epsilon=1e-7), named("nadam", "keras"), MOMENTS
    ),
    "keras.optimizers.Adamax": Origin(
        keras_betas(1e-3, epsilon=1e-7),
        named("adamax", "keras"),
        {"momentum": "exp_avg", "norm": "exp_inf"},
    ),
    "keras.optimizers.Adadelta": Origin(
        dict(learning_rate=1e-3, rho=0.95, epsilon=1e-7),
        named("adadelta", "keras"),
        {"accumulated_grad": "square_avg", "accumulated_delta_var": "acc_delta"},
    ),
    "keras.optimizers.Adagrad": Origin(
        dict(learning_rate=1e-3, initial_accumulator_value=0.1, epsilon=1e-7),
        named("adagrad", "keras"),
        {"accumulator": "sum"},
    ),
    "keras.optimizers.SGD": Origin(
        dict(learning_rate=1e-3), named("sgd", "keras"), {"momentum": "-momentum_buffer"}
    ),
    "keras.optimizers.Lion": Origin(
        keras_betas(1e-3, beta_2=0.99), named("lion", "keras"), {"momentum": "exp_avg"}
    ),
    "keras.optimizers.ScheduleFreeAdamW": Origin(
        keras_betas(2.5e-3, epsilon=1e-8),
        named("schedule_free_adamw", "keras"),
        {"momentum": "z", "velocity": "exp_avg_sq"},
    ),
    "optax.contrib.schedule_free_sgd": Origin(
        dict(learning_rate=1.0, b1=0.9), named("schedule_free_sgd", "optax"), {"z": "z"}
    ),
    "optax.contrib.schedule_free_adamw": Origin(
        optax_betas(2.5e-3, eps=1e-8),
        named("schedule_free_adamw", "optax"),
        {"z": "z", "nu": "exp_avg_sq"},
    ),
    "pytorch_optimizer.Adan": Origin(
        torch_betas(1e-3, betas=(0.98, 0.92, 0.99), eps=1e-8),
        named("adan", "pytorch_optimizer"),
        {"previous_grad": "-prev_grad"},
    ),
    "pytorch_optimizer.AdaBelief": Origin(
        torch_betas(1e-3, eps=1e-16), named("adabelief", "optax")
    ),
    "pytorch_optimizer.Yogi": Origin(torch_betas(1e-2, eps=1e-3), named("yogi", "optax")),
    "pytorch_optimizer.AdEMAMix": Origin(
        torch_betas(1e-3, betas=(0.9, 0.999, 0.9999), alpha=5.0, eps=1e-8),
        named("ademamix", "optax"),
    ),
    "pytorch_optimizer.MADGRAD": Origin(
        dict(lr=1e-3, momentum=0.9, eps=1e-6), named("madgrad", "pytorch_optimizer")
    ),
    "pytorch_optimizer.Grams": Origin(
        torch_betas(1e-3, eps=1e-6), named("grams", "pytorch_optimizer")
    ),
    "pytorch_optimizer.LaProp": Origin(
        torch_betas(4e-4, eps=1e-15),
        named("laprop", "pytorch_optimizer"),
        {"exp_mean_avg_beta2": "grad_avg"},
    ),
    "pytorch_optimizer.SignSGD": Origin(
        dict(lr=1e-3, momentum=0.9), named("signum", "pytorch_optimizer")
    ),
    "lion_pytorch.Lion": Origin(
        torch_betas(1e-4, betas=(0.9, 0.99)), named("lion", "lion_pytorch")
    ),
    "adam_atan2_pytorch.AdamAtan2": Origin(
        torch_betas(1e-4, betas=(0.9, 0.99), a=1.27, b=1.0),
        named("adam_atan2", "adam_atan2_pytorch"),
    ),
    "schedulefree.SGDScheduleFree": Origin(
        dict(lr=1.0, momentum=0.9), named("schedule_free_sgd", "schedulefree")
    ),
    "schedulefree.AdamWScheduleFree": Origin(
        torch_betas(2.5e-3, eps=1e-8), named("schedule_free_adamw", "schedulefree")
    ),
}


class Printed:
    """An argument that is a function, with a text for a person to read."""

    def __init__(self, text, function):
        self.text = text
        self.function = function

    def __call__(self, count):
        return self.function(count)

    def __repr__(self):
        return self.text


def share_of(steps, count):
    """How much of a warm-up is over in the step after `count` steps; a quotient of int32 were float32."""
    return jax.numpy.minimum(jax.numpy.float64(count + 1) / steps, 1)


def mixing_warm_up(alpha, steps):
    """AdEMAMix's α of a step whose count of steps before it is given: linear from 0."""
    return Printed(
        f"{alpha} * min((count + 1) / {steps}, 1)",
        lambda count: alpha * share_of(steps, count),
    )


def half_life_warm_up(first, last, steps):
    """AdEMAMix's β₃ of a step: its half-life grows linearly from that of `first` to that of `last`."""

    def beta(count):
        share = share_of(steps, count)
        return jax.numpy.exp(1 / ((1 - share) / math.log(first) + share / math.log(last)))

    return Printed(f"half-life from {first} to {last} in {steps}", beta)


def constructor(build):
    module, _, path = build.partition(".")
    # TensorFlow takes long to import, and only its own rows need it.
    found = MODULES.get(module) or importlib.import_module(module)
    return operator.attrgetter(path)(found)


def is_state(what, value, shape):
    """Whether a value of a state is a slot. Refuses floating-point numbers that are not float64."""
    dtype = np.asarray(value).dtype
    if np.issubdtype(dtype, np.floating) and dtype != np.float64:
        raise TypeError(f"{what} is {dtype}, not float64")
    return np.shape(value) == shape


# Each run_* takes a case and the trace in float64, and returns for each parameter by name its value after
# each of its steps, its state after the last one under the origin's names, and if there are, the weights
# to evaluate with.


def run_torch(case, trace):
    params, history = {}, {}

    def parameter(name):
        params[name] = torch.nn.Parameter(torch.tensor(trace[f"param.{name}"]))
        return params[name]

    optimizer = constructor(case.build)([parameter("w")], **case.arguments)
    switches = case.origin == "schedulefree"  # between weights to train and weights to evaluate
    if switches:
        optimizer.train()
    for step, rate in enumerate(case.rates):
        if case.late and step == LATE_STEP:
            optimizer.add_param_group({"params": [parameter("late")]})
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        for name, param in params.items():
            param.grad = torch.tensor(trace[f"grad.{name}"][step])
        optimizer.step()
        for name, param in params.items():
            param.data *= 1.0 - float(rate) * case.decay_after
            history.setdefault(name, []).append(param.detach().numpy().copy())
    states = {
        name: {key: value for key, value in optimizer.state[param].items() if value is not None}
        for name, param in params.items()
    }
    if switches:
        optimizer.eval()
    evaluated = {name: param.detach().numpy() if switches else None for name, param in params.items()}
    return {name: (history[name], states[name], evaluated[name]) for name in params}


def run_optax(case, trace):
    arguments = case.arguments
    if case.scheduled:
        rates = jax.numpy.asarray(case.rates)
        arguments |= {"learning_rate": lambda count: rates[count]}
    transform = constructor(case.build)(**arguments)
    param = jax.numpy.asarray(trace["param.w"])
    state = transform.init(param)
    history = []
    for grad in trace["grad.w"]:
        updates, state = transform.update(jax.numpy.asarray(grad), state, param)
        param = optax.apply_updates(param, updates)
        history.append(param)
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {"w": (history, {path[-1].name: value for path, value in leaves}, None)}


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
    optimizer = constructor(case.build)(**arguments)
    param = keras.Variable(trace["param.w"], name="w", dtype="float64")
    history = []
    for grad in trace["grad.w"]:
        is_state("learning_rate", optimizer.learning_rate, ())
        optimizer.apply([jax.numpy.asarray(grad)], [param])
        history.append(param.value)
    state = {v.name.removeprefix("w_"): v.value for v in optimizer.variables}
    return {"w": (history, state, None)}


def run_tensorflow(case, trace):
    tensorflow = importlib.import_module("tensorflow")

    def exact(value):
        """A number as a float64, which a number of Python's would not become."""
        return tensorflow.constant(value, "float64") if isinstance(value, float) else value

    step = 0
    arguments = {key: exact(value) for key, value in case.arguments.items()}
    arguments |= {"learning_rate": lambda: exact(float(case.rates[step]))}
    optimizer = constructor(case.build)(**arguments)
    param = tensorflow.Variable(trace["param.w"])
    history = []
    for step, grad in enumerate(trace["grad.w"]):
        optimizer.apply_gradients([(tensorflow.constant(grad), param)])
        history.append(param.numpy())
    names = optimizer.get_slot_names()
    return {"w": (history, {name: optimizer.get_slot(param, name).numpy() for name in names}, None)}


def run(case, trace):
    """The tensors of a case's file, and the slots whose sign is the opposite of ours."""
    others = {"optax": run_optax, "keras": run_keras, "tensorflow": run_tensorflow}
    runner = others.get(case.origin, run_torch)
    tensors, negated = {"lr": case.rates}, set()
    names = ORIGINS[case.build].slots
    for name, (history, state, evaluated) in runner(case, trace).items():
        tensors[f"param.{name}"] = np.stack([np.asarray(value) for value in history])
        shape = history[0].shape
        for theirs, value in state.items():
            if is_state(f"{case.name}: {theirs}", value, shape):
                ours = names.get(theirs, theirs) if runner is run_torch else names[theirs]
                tensors[f"state.{name}.{ours.removeprefix('-')}"] = np.array(value)
                negated |= {ours[1:]} if ours.startswith("-") else set()
        if evaluated is not None:
            tensors[f"eval.{name}"] = evaluated
    for key, values in tensors.items():
        if values.dtype != np.float64:
            raise TypeError(f"{case.name}: {key} is {values.dtype}, not float64")
    return tensors, sorted(negated)
