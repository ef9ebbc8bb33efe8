"""The golden files: for each, what an origin is given and the CONFIG that must give the same numbers here."""

import inspect

import numpy as np

from golden_origins import (
    LATE_STEP,
    ORIGINS,
    constructor,
    half_life_warm_up,
    mixing_warm_up,
)

STEPS = 12
SCHEDULE = [1.0, 0.3, 2.0, 0.1, 5.0, 0.5, 10.0, 0.2, 1.5, 3.0, 0.7, 4.0]  # times the case's rate


class Case:
    """One golden file: what its origin is given, and what CONFIG here, over the row of ORIGINS.

    `both` goes to the two of them, `config` to CONFIG alone and all other arguments to the origin alone.
    """

    def __init__(
        self, name, build, both=None, config=None, scheduled=False, late=False, decay_after=0.0, **extra
    ):
        self.name = name
        self.build = build
        self.both = both or {}
        self.own_config = config or {}
        self.scheduled = scheduled  # the learning rate follows SCHEDULE
        self.late = late  # a second parameter joins after LATE_STEP
        self.decay_after = decay_after  # weight decay that the origin's users take off after its step
        self.extra = extra

    @property
    def origin(self):
        return self.build.partition(".")[0]

    @property
    def rate_name(self):
        return "learning_rate" if self.origin in ("optax", "keras", "tensorflow") else "lr"

    @property
    def arguments(self):
        """The keyword arguments of the constructor, in the origin's own names."""
        arguments = ORIGINS[self.build].arguments | self.both | self.extra
        if self.rate_name == "lr":  # the plain implementation, one tensor at a time
            plain = {"foreach": False, "fused": False}
            known = inspect.signature(constructor(self.build)).parameters
            arguments |= {key: value for key, value in plain.items() if key in known}
        return arguments

    @property
    def rates(self):
        rate = self.arguments[self.rate_name]
        return np.array([rate * f for f in (SCHEDULE if self.scheduled else [1.0] * STEPS)])

    @property
    def config(self):
        """CONFIG of `wgpu-optim replay`."""
        config = ORIGINS[self.build].config | self.both | self.own_config
        rates = self.rates.tolist()
        rate = {"lr": rates if self.scheduled else rates[0]}
        return {"optimizer": config["optimizer"]} | rate | config | rate

    @property
    def call(self):
        """The constructor's call, for a person to read."""
        shown = {key: repr(value) for key, value in self.arguments.items()}
        if self.scheduled:
            shown[self.rate_name] = "schedule"
        arguments = [] if self.rate_name == "learning_rate" else ["[w]"]
        arguments += [f"{key}={value}" for key, value in shown.items()]
        text = f"{self.build}({', '.join(arguments)})"
        if self.decay_after:
            text += f"; w *= 1 - lr * {self.decay_after} after each step"
        if self.late:
            text += f'; add_param_group({{"params": [late]}}) after step {LATE_STEP}'
        return text


TF1_RMSPROP = "tensorflow.compat.v1.train.RMSPropOptimizer"

CASES = [
    Case("torch_adam", "torch.optim.Adam"),
    Case("torch_adam_amsgrad", "torch.optim.Adam", dict(amsgrad=True)),
    Case("torch_adam_weight_decay", "torch.optim.Adam", dict(weight_decay=0.1)),
    Case("torch_adam_maximize", "torch.optim.Adam", dict(maximize=True)),
    Case(
        "torch_adam_amsgrad_weight_decay_maximize",
        "torch.optim.Adam",
        dict(amsgrad=True, weight_decay=0.1, maximize=True),
    ),
    Case("torch_adam_betas", "torch.optim.Adam", dict(betas=(0.8, 0.95), eps=0.0001)),
    Case("torch_adam_lr_schedule", "torch.optim.Adam", scheduled=True),
    Case("torch_adam_added_later", "torch.optim.Adam", late=True),
    Case("torch_adamw", "torch.optim.AdamW"),
    Case("torch_adamw_amsgrad", "torch.optim.AdamW", dict(amsgrad=True)),
    Case("torch_adamw_maximize", "torch.optim.AdamW", dict(maximize=True)),
    # Apex, Burn and bitsandbytes have PyTorch's formula, but do not run in float64 on a CPU: here are their options.
    Case("torch_adam_apex", "torch.optim.Adam", config=dict(convention="apex")),
    Case("torch_adam_burn", "torch.optim.Adam", config=dict(convention="burn"), eps=1e-5),
    Case(
        "torch_adam_bitsandbytes",
        "torch.optim.Adam",
        config=dict(convention="bitsandbytes", weight_decay=0.1, decoupled=True),
        scheduled=True,
        decay_after=0.1,
    ),
    Case("torch_rmsprop", "torch.optim.RMSprop"),
    Case("torch_rmsprop_centered", "torch.optim.RMSprop", dict(centered=True)),
    Case("torch_rmsprop_momentum", "torch.optim.RMSprop", dict(momentum=0.9)),
    Case(
        "torch_rmsprop_centered_momentum",
        "torch.optim.RMSprop",
        dict(centered=True, momentum=0.9),
    ),
    Case("torch_rmsprop_weight_decay", "torch.optim.RMSprop", dict(weight_decay=0.1)),
    Case("torch_rmsprop_maximize", "torch.optim.RMSprop", dict(maximize=True)),
    Case(
        "torch_rmsprop_all",
        "torch.optim.RMSprop",
        dict(alpha=0.9, eps=0.0001, centered=True, momentum=0.9, weight_decay=0.1, maximize=True),
    ),
    Case(
        "torch_rmsprop_momentum_lr_schedule",
        "torch.optim.RMSprop",
        dict(momentum=0.9),
        scheduled=True,
    ),
    Case(
        "torch_rmsprop_burn",
        "torch.optim.RMSprop",
        config=dict(convention="burn"),
        eps=1e-5,
        momentum=0.9,
    ),
    Case("torch_sgd", "torch.optim.SGD"),
    Case("torch_sgd_momentum", "torch.optim.SGD", dict(momentum=0.9)),
    Case("torch_sgd_dampening", "torch.optim.SGD", dict(momentum=0.9, dampening=0.5)),
    Case("torch_sgd_nesterov", "torch.optim.SGD", dict(momentum=0.9, nesterov=True)),
    Case("torch_sgd_weight_decay", "torch.optim.SGD", dict(weight_decay=0.1)),
    Case("torch_sgd_maximize", "torch.optim.SGD", dict(maximize=True)),
    Case(
        "torch_sgd_all",
        "torch.optim.SGD",
        dict(momentum=0.9, nesterov=True, weight_decay=0.1, maximize=True),
    ),
    Case("torch_sgd_momentum_lr_schedule", "torch.optim.SGD", dict(momentum=0.9), scheduled=True),
    Case("torch_asgd", "torch.optim.ASGD"),
    Case("torch_asgd_weight_decay", "torch.optim.ASGD", dict(weight_decay=0.1)),
    Case("torch_asgd_maximize", "torch.optim.ASGD", dict(weight_decay=0.1, maximize=True)),
    # The average begins within the trace.
    Case("torch_asgd_t0", "torch.optim.ASGD", dict(t0=3.0)),
    Case("torch_asgd_options", "torch.optim.ASGD", dict(lambd=0.5, alpha=0.6, t0=3.0)),
    Case(
        "torch_asgd_lr_schedule",
        "torch.optim.ASGD",
        dict(lambd=0.5, t0=3.0),
        scheduled=True,
    ),
    Case("torch_rprop", "torch.optim.Rprop"),
    Case("torch_rprop_maximize", "torch.optim.Rprop", dict(maximize=True)),
    Case("torch_rprop_options", "torch.optim.Rprop", dict(etas=(0.3, 1.7), step_sizes=(2e-3, 5e-2))),
    # The step size starts at the first rate, which no later one changes.
    Case("torch_rprop_lr_schedule", "torch.optim.Rprop", scheduled=True),
    Case("torch_adagrad", "torch.optim.Adagrad"),
    Case("torch_adagrad_lr_decay", "torch.optim.Adagrad", dict(lr_decay=0.1)),
    Case(
        "torch_adagrad_initial_accumulator_value",
        "torch.optim.Adagrad",
        dict(initial_accumulator_value=0.1),
    ),
    Case("torch_adagrad_burn", "torch.optim.Adagrad", config=dict(convention="burn"), eps=1e-5),
    Case("torch_adagrad_weight_decay", "torch.optim.Adagrad", dict(weight_decay=0.1)),
    Case("torch_adagrad_maximize", "torch.optim.Adagrad", dict(maximize=True)),
    Case("optax_adagrad", "optax.adagrad"),
    Case("optax_adagrad_zero", "optax.adagrad", dict(initial_accumulator_value=0.0)),
    Case("optax_adagrad_lr_schedule", "optax.adagrad", scheduled=True),
    Case("keras_adagrad", "keras.optimizers.Adagrad"),
    Case("optax_adam", "optax.adam"),
    Case("optax_adam_eps_root", "optax.adam", dict(eps=0.0, eps_root=1e-16)),
    Case("optax_adamw", "optax.adamw"),
    Case("optax_nadam", "optax.nadam"),
    Case("optax_nadam_betas", "optax.nadam", config=dict(betas=(0.8, 0.95)), b1=0.8, b2=0.95),
    Case("optax_nadam_lr_schedule", "optax.nadam", scheduled=True),
    Case("optax_nadamw", "optax.nadamw"),
    Case("optax_amsgrad", "optax.amsgrad"),
    Case("optax_amsgrad_betas", "optax.amsgrad", config=dict(betas=(0.8, 0.95)), b1=0.8, b2=0.95),
    Case("optax_lion", "optax.lion"),
    Case(
        "optax_lion_weight_decay",
        "optax.lion",
        dict(weight_decay=0.1),
        config=dict(betas=(0.95, 0.98), decoupled=True),
        b1=0.95,
        b2=0.98,
    ),
    Case("optax_adabelief", "optax.adabelief"),
    Case(
        "optax_adabelief_options",
        "optax.adabelief",
        dict(eps=1e-4, eps_root=1e-3),
        config=dict(betas=(0.8, 0.95)),
        b1=0.8,
        b2=0.95,
    ),
    Case("optax_adabelief_nesterov", "optax.adabelief", dict(nesterov=True)),
    Case("optax_adabelief_lr_schedule", "optax.adabelief", scheduled=True),
    Case("optax_yogi", "optax.yogi"),
    Case("optax_yogi_options", "optax.yogi", dict(eps=1e-5), dict(betas=(0.8, 0.95)), b1=0.8, b2=0.95),
    Case("optax_yogi_lr_schedule", "optax.yogi", scheduled=True),
    Case("optax_adan", "optax.adan"),
    Case("optax_adan_weight_decay", "optax.adan", dict(weight_decay=0.1), dict(decoupled=True)),
    Case(
        "optax_adan_options",
        "optax.adan",
        dict(eps=1e-4, eps_root=0.0),
        config=dict(betas=(0.9, 0.8, 0.95)),
        b1=0.9,
        b2=0.8,
        b3=0.95,
    ),
    Case(
        "optax_adan_lr_schedule",
        "optax.adan",
        dict(weight_decay=0.1),
        config=dict(decoupled=True),
        scheduled=True,
    ),
    Case("lion_pytorch", "lion_pytorch.Lion"),
    Case(
        "lion_pytorch_weight_decay",
        "lion_pytorch.Lion",
        dict(betas=(0.95, 0.98), weight_decay=0.1),
        config=dict(decoupled=True),
    ),
    Case("pytorch_optimizer_adan", "pytorch_optimizer.Adan"),
    Case(
        "pytorch_optimizer_adan_weight_decay",
        "pytorch_optimizer.Adan",
        dict(weight_decay=0.1),
        config=dict(decoupled=True),
        scheduled=True,
    ),
    Case("pytorch_optimizer_adabelief", "pytorch_optimizer.AdaBelief"),
    Case("pytorch_optimizer_yogi", "pytorch_optimizer.Yogi"),
    Case("pytorch_optimizer_ademamix", "pytorch_optimizer.AdEMAMix"),
    Case("optax_rmsprop", "optax.rmsprop"),
    Case("optax_rmsprop_centered", "optax.rmsprop", dict(centered=True)),
    Case("optax_rmsprop_momentum", "optax.rmsprop", dict(momentum=0.9)),
    Case("optax_rmsprop_momentum_lr_schedule", "optax.rmsprop", dict(momentum=0.9), scheduled=True),
    Case("optax_rmsprop_nesterov", "optax.rmsprop", dict(momentum=0.9, nesterov=True)),
    Case(
        "optax_rmsprop_nesterov_lr_schedule",
        "optax.rmsprop",
        dict(momentum=0.9, nesterov=True),
        scheduled=True,
    ),
    Case(
        "optax_rmsprop_initial_scale",
        "optax.rmsprop",
        config=dict(initial_square_avg=0.1),
        initial_scale=0.1,
    ),
    Case("optax_sgd_momentum", "optax.sgd", dict(momentum=0.9)),
    Case("optax_sgd_nesterov", "optax.sgd", dict(momentum=0.9, nesterov=True)),
    Case("keras_rmsprop", "keras.optimizers.RMSprop"),
    Case("keras_rmsprop_momentum", "keras.optimizers.RMSprop", dict(momentum=0.9)),
    Case("keras_rmsprop_centered", "keras.optimizers.RMSprop", dict(centered=True)),
    Case(
        "keras_rmsprop_centered_momentum",
        "keras.optimizers.RMSprop",
        dict(centered=True, momentum=0.9),
    ),
    Case(
        "keras_rmsprop_momentum_lr_schedule",
        "keras.optimizers.RMSprop",
        dict(momentum=0.9),
        scheduled=True,
    ),
    Case("tf1_rmsprop", TF1_RMSPROP),
    Case("tf1_rmsprop_momentum", TF1_RMSPROP, dict(momentum=0.9)),
    Case("tf1_rmsprop_centered_momentum", TF1_RMSPROP, dict(centered=True, momentum=0.9)),
    Case("tf1_rmsprop_momentum_lr_schedule", TF1_RMSPROP, dict(momentum=0.9), scheduled=True),
    Case("keras_adam", "keras.optimizers.Adam"),
    Case("keras_adamw", "keras.optimizers.AdamW"),
    Case("keras_adam_amsgrad", "keras.optimizers.Adam", dict(amsgrad=True)),
    Case("torch_nadam", "torch.optim.NAdam"),
    Case("torch_nadam_weight_decay", "torch.optim.NAdam", dict(weight_decay=0.1)),
    Case(
        "torch_nadam_decoupled",
        "torch.optim.NAdam",
        dict(weight_decay=0.1),
        config=dict(decoupled=True),
        decoupled_weight_decay=True,
    ),
    Case("torch_nadam_maximize", "torch.optim.NAdam", dict(weight_decay=0.1, maximize=True)),
    Case(
        "torch_nadam_options",
        "torch.optim.NAdam",
        dict(betas=(0.8, 0.95), eps=0.0001, momentum_decay=0.3),
    ),
    Case("torch_nadam_lr_schedule", "torch.optim.NAdam", scheduled=True),
    Case("torch_nadam_added_later", "torch.optim.NAdam", late=True),
    Case("keras_nadam", "keras.optimizers.Nadam"),
    Case(
        "keras_nadam_weight_decay",
        "keras.optimizers.Nadam",
        dict(weight_decay=0.1),
        config=dict(decoupled=True),
    ),
    Case("torch_radam", "torch.optim.RAdam"),
    Case("torch_radam_weight_decay", "torch.optim.RAdam", dict(weight_decay=0.1)),
    Case(
        "torch_radam_decoupled",
        "torch.optim.RAdam",
        dict(weight_decay=0.1),
        config=dict(decoupled=True),
        decoupled_weight_decay=True,
    ),
    Case("torch_radam_maximize", "torch.optim.RAdam", dict(weight_decay=0.1, maximize=True)),
    Case("torch_radam_options", "torch.optim.RAdam", dict(betas=(0.8, 0.95), eps=0.0001)),
    Case("torch_radam_lr_schedule", "torch.optim.RAdam", scheduled=True),
    Case("torch_radam_added_later", "torch.optim.RAdam", late=True),
    Case("optax_radam", "optax.radam"),
    Case("torch_adamax", "torch.optim.Adamax"),
    Case("torch_adamax_weight_decay", "torch.optim.Adamax", dict(weight_decay=0.1)),
    Case("torch_adamax_maximize", "torch.optim.Adamax", dict(weight_decay=0.1, maximize=True)),
    Case("torch_adamax_options", "torch.optim.Adamax", dict(betas=(0.8, 0.95), eps=0.01)),
    Case("torch_adamax_lr_schedule", "torch.optim.Adamax", scheduled=True),
    Case("optax_adamax", "optax.adamax"),
    Case("optax_adamaxw", "optax.adamaxw"),
    Case("keras_adamax", "keras.optimizers.Adamax"),
    Case("keras_adamax_eps", "keras.optimizers.Adamax", config=dict(eps=0.01), epsilon=0.01),
    Case("torch_adadelta", "torch.optim.Adadelta"),
    Case("torch_adadelta_weight_decay", "torch.optim.Adadelta", dict(weight_decay=0.1)),
    Case("torch_adadelta_maximize", "torch.optim.Adadelta", dict(weight_decay=0.1, maximize=True)),
    Case("torch_adadelta_options", "torch.optim.Adadelta", dict(rho=0.7, eps=0.001)),
    Case("torch_adadelta_lr_schedule", "torch.optim.Adadelta", scheduled=True),
    Case("optax_adadelta", "optax.adadelta"),
    Case("optax_adadelta_weight_decay", "optax.adadelta", dict(weight_decay=0.1)),
    Case("keras_adadelta", "keras.optimizers.Adadelta"),
    Case("keras_sgd", "keras.optimizers.SGD"),
    Case("keras_sgd_momentum", "keras.optimizers.SGD", dict(momentum=0.9)),
    Case("keras_sgd_nesterov", "keras.optimizers.SGD", dict(momentum=0.9, nesterov=True)),
    Case(
        "keras_sgd_momentum_lr_schedule",
        "keras.optimizers.SGD",
        dict(momentum=0.9),
        scheduled=True,
    ),
    Case(
        "keras_sgd_nesterov_lr_schedule",
        "keras.optimizers.SGD",
        dict(momentum=0.9, nesterov=True),
        scheduled=True,
    ),
    Case("keras_lion", "keras.optimizers.Lion"),
    Case(
        "keras_lion_weight_decay",
        "keras.optimizers.Lion",
        dict(weight_decay=0.1),
        config=dict(decoupled=True),
    ),
    Case("optax_sign_sgd", "optax.sign_sgd"),
    Case("signum", "pytorch_optimizer.SignSGD"),
    Case("signum_no_momentum", "pytorch_optimizer.SignSGD", dict(momentum=0.0)),
    Case(
        "signum_weight_decay",
        "pytorch_optimizer.SignSGD",
        dict(weight_decay=0.1),
        weight_decouple=False,
    ),
    Case(
        "signum_decoupled",
        "pytorch_optimizer.SignSGD",
        dict(weight_decay=0.1),
        config=dict(decoupled=True),
    ),
    Case(
        "signum_maximize",
        "pytorch_optimizer.SignSGD",
        dict(weight_decay=0.1, maximize=True),
        weight_decouple=False,
    ),
    Case("signum_lr_schedule", "pytorch_optimizer.SignSGD", scheduled=True),
    Case("optax_ademamix", "optax.contrib.ademamix"),
    Case(
        "optax_ademamix_weight_decay",
        "optax.contrib.ademamix",
        dict(weight_decay=0.1),
        config=dict(decoupled=True),
    ),
    Case(
        "optax_ademamix_options",
        "optax.contrib.ademamix",
        dict(eps=0.0001, eps_root=1e-6, alpha=2.0),
        config=dict(betas=(0.8, 0.95, 0.99)),
        b1=0.8,
        b2=0.95,
        b3=0.99,
    ),
    Case(
        "optax_ademamix_t_alpha",
        "optax.contrib.ademamix",
        config=dict(t_alpha=6),
        alpha=mixing_warm_up(5.0, 6),
    ),
    Case(
        "optax_ademamix_t_beta3",
        "optax.contrib.ademamix",
        config=dict(t_beta3=6),
        b3=half_life_warm_up(0.9, 0.9999, 6),
    ),
    Case(
        "optax_ademamix_warm_ups",
        "optax.contrib.ademamix",
        config=dict(t_alpha=20, t_beta3=20),
        alpha=mixing_warm_up(5.0, 20),
        b3=half_life_warm_up(0.9, 0.9999, 20),
    ),
    Case("optax_ademamix_lr_schedule", "optax.contrib.ademamix", scheduled=True),
    Case("optax_adopt", "optax.contrib.adopt"),
    Case(
        "optax_adopt_options",
        "optax.contrib.adopt",
        dict(eps=0.01),
        config=dict(betas=(0.8, 0.95)),
        b1=0.8,
        b2=0.95,
    ),
    Case("optax_adopt_nesterov", "optax.contrib.adopt", dict(nesterov=True)),
    Case("optax_adopt_lr_schedule", "optax.contrib.adopt", scheduled=True),
    Case("madgrad", "pytorch_optimizer.MADGRAD"),
    Case("madgrad_no_momentum", "pytorch_optimizer.MADGRAD", dict(momentum=0.0)),
    Case("madgrad_weight_decay", "pytorch_optimizer.MADGRAD", dict(weight_decay=0.1)),
    Case(
        "madgrad_decoupled",
        "pytorch_optimizer.MADGRAD",
        dict(weight_decay=0.1),
        config=dict(decoupled=True),
        weight_decouple=True,
    ),
    Case("madgrad_maximize", "pytorch_optimizer.MADGRAD", dict(weight_decay=0.1, maximize=True)),
    Case("madgrad_options", "pytorch_optimizer.MADGRAD", dict(momentum=0.5, eps=0.001)),
    Case("madgrad_lr_schedule", "pytorch_optimizer.MADGRAD", scheduled=True),
    # Weight decay that is not decoupled has no effect in this origin.
    Case("grams", "pytorch_optimizer.Grams"),
    Case(
        "grams_decoupled",
        "pytorch_optimizer.Grams",
        dict(weight_decay=0.1),
        config=dict(decoupled=True),
    ),
    Case("grams_maximize", "pytorch_optimizer.Grams", dict(maximize=True)),
    Case("grams_options", "pytorch_optimizer.Grams", dict(betas=(0.8, 0.95), eps=0.001)),
    Case("grams_lr_schedule", "pytorch_optimizer.Grams", scheduled=True),
    Case("adam_atan2", "adam_atan2_pytorch.AdamAtan2"),
    Case(
        "adam_atan2_decoupled",
        "adam_atan2_pytorch.AdamAtan2",
        dict(weight_decay=0.1),
        config=dict(decoupled=True),
    ),
    Case(
        "adam_atan2_options",
        "adam_atan2_pytorch.AdamAtan2",
        dict(betas=(0.8, 0.95), a=1.0, b=2.0),
    ),
    # The origin rounds 1 − lr·λ to f32 here, so both are powers of two.
    Case(
        "adam_atan2_cautious_weight_decay",
        "adam_atan2_pytorch.AdamAtan2",
        dict(lr=2.0**-7, weight_decay=2.0**-3),
        config=dict(decoupled=True, cautious_weight_decay=True),
        cautious_wd=True,
    ),
    Case("adam_atan2_lr_schedule", "adam_atan2_pytorch.AdamAtan2", scheduled=True),
    # Weight decay that is not decoupled has no effect in this origin.
    Case("laprop", "pytorch_optimizer.LaProp"),
    Case("laprop_centered", "pytorch_optimizer.LaProp", dict(centered=True)),
    Case(
        "laprop_decoupled",
        "pytorch_optimizer.LaProp",
        dict(weight_decay=0.1),
        config=dict(decoupled=True),
    ),
    Case("laprop_maximize", "pytorch_optimizer.LaProp", dict(maximize=True)),
    Case("laprop_options", "pytorch_optimizer.LaProp", dict(betas=(0.8, 0.95), eps=0.0001)),
    Case("laprop_lr_schedule", "pytorch_optimizer.LaProp", scheduled=True),
    Case("schedule_free_sgd", "schedulefree.SGDScheduleFree", dict(lr=0.01)),
    Case(
        "schedule_free_sgd_decoupled",
        "schedulefree.SGDScheduleFree",
        dict(lr=0.01, weight_decay=0.1),
        config=dict(decoupled=True),
    ),
    Case(
        "schedule_free_sgd_warm_up",
        "schedulefree.SGDScheduleFree",
        dict(lr=0.01, warmup_steps=5),
    ),
    Case(
        "schedule_free_sgd_options",
        "schedulefree.SGDScheduleFree",
        dict(lr=0.01, momentum=0.7, r=0.5, weight_lr_power=1.0, warmup_steps=3),
    ),
    Case(
        "schedule_free_sgd_lr_schedule",
        "schedulefree.SGDScheduleFree",
        dict(lr=0.01),
        scheduled=True,
    ),
    Case("optax_schedule_free_sgd", "optax.contrib.schedule_free_sgd", learning_rate=0.01),
    Case("optax_schedule_free_adamw", "optax.contrib.schedule_free_adamw"),
    Case(
        "optax_schedule_free_adamw_decoupled",
        "optax.contrib.schedule_free_adamw",
        dict(weight_decay=0.1),
        config=dict(decoupled=True),
    ),
    Case("keras_schedule_free_adamw", "keras.optimizers.ScheduleFreeAdamW"),
    Case(
        "keras_schedule_free_adamw_warm_up",
        "keras.optimizers.ScheduleFreeAdamW",
        dict(warmup_steps=5),
    ),
    Case("schedule_free_adamw", "schedulefree.AdamWScheduleFree"),
    Case(
        "schedule_free_adamw_decoupled",
        "schedulefree.AdamWScheduleFree",
        dict(weight_decay=0.1),
        config=dict(decoupled=True),
    ),
    Case("schedule_free_adamw_warm_up", "schedulefree.AdamWScheduleFree", dict(warmup_steps=5)),
    Case(
        "schedule_free_adamw_options",
        "schedulefree.AdamWScheduleFree",
        dict(betas=(0.8, 0.95), eps=0.0001, r=0.5, weight_lr_power=1.0, warmup_steps=3),
    ),
    Case("schedule_free_adamw_lr_schedule", "schedulefree.AdamWScheduleFree", scheduled=True),
]
