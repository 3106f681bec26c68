"""Every public class and function, with arguments that it takes.

`CASES` names, for each, how to call it and what to do with the result; the
test replaces arguments by others.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any
from typing import NamedTuple

import keras
import numpy as np

from keras_seqcredit import callbacks
from keras_seqcredit import datasets
from keras_seqcredit import layers
from keras_seqcredit import metrics
from keras_seqcredit import models
from keras_seqcredit import schedules
from keras_seqcredit import tuners
from keras_seqcredit import utils

X = np.ones((2, 3, 2), "float32")
STEPS = np.zeros(2, "int32")
_MANY = np.ones((4, 3, 2), "float32")
NO_FILE = "no_such_file"


class Case(NamedTuple):
    """One class or function.

    Attributes:
        call: what the arguments are for.
        arguments: function of nothing that returns those that are needed, new
            each time.
        use: function of the result that returns numbers, or nothing.
        others: names of arguments that stand behind `**kwargs`.
    """

    call: Callable[..., Any]
    arguments: Callable[[], dict[str, Any]]
    use: Callable[[Any], Any] = lambda result: result
    others: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """The arguments that are replaced; `name` and `dtype` are Keras'."""
        parameters = inspect.signature(self.call).parameters.values()
        named = [
            parameter.name
            for parameter in parameters
            if parameter.kind is not parameter.VAR_KEYWORD
        ]
        named += [x for x in self.others if x not in named]
        return [x for x in named if x not in ("name", "dtype")]


def _on_sequences(layer):
    return layer(X)


def _on_states(layer):
    return layer(X[:, 0])


def _first_batch(stream):
    return stream[0]


def _nothing(result):
    return None


def _gaussian_network():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(4)])


def _generator():
    return models.AutoregressiveRNN(
        keras.layers.GRUCell(3), layers.GaussianHead(2)
    )


def _updated(metric):
    metric.update_state(X)
    return metric.result()


_RNN = (
    "return_sequences",
    "return_state",
    "go_backwards",
    "stateful",
    "unroll",
    "zero_output_for_mask",
    "activity_regularizer",
)
_CELL = (
    "activation",
    "recurrent_activation",
    "use_bias",
    "kernel_initializer",
    "recurrent_initializer",
    "bias_initializer",
    "kernel_regularizer",
    "kernel_constraint",
    "dropout",
    "recurrent_dropout",
    "seed",
    "implementation",
    "use_cudnn",
    "weights",
)
_ATTENTION = (
    "attention_initializer",
    "attention_regularizer",
    "attention_constraint",
    "jit_compile",
)

CASES = {
    "SABLSTM": Case(
        layers.SABLSTM,
        lambda: {"units": 2},
        _on_sequences,
        (*_RNN, *_CELL, *_ATTENTION, "unit_forget_bias"),
    ),
    "SABGRU": Case(
        layers.SABGRU,
        lambda: {"units": 2},
        _on_sequences,
        (*_RNN, *_CELL, *_ATTENTION, "reset_after"),
    ),
    "SparseAttentiveRNN": Case(
        layers.SparseAttentiveRNN,
        lambda: {"cell": keras.layers.GRUCell(2)},
        _on_sequences,
        _RNN,
    ),
    "StochasticRNN": Case(
        layers.StochasticRNN,
        lambda: {"units": 2, "latent_dim": 2},
        _on_sequences,
        ("activity_regularizer",),
    ),
    "AuxiliaryStateLoss": Case(
        layers.AuxiliaryStateLoss, dict, lambda layer: layer(X, X)
    ),
    "BehaviorDiscriminator": Case(
        layers.BehaviorDiscriminator, lambda: {"units": 2}, _on_sequences
    ),
    "BernoulliHead": Case(
        layers.BernoulliHead, lambda: {"event_size": 2}, _on_sequences
    ),
    "CategoricalHead": Case(
        layers.CategoricalHead, lambda: {"num_classes": 2}, _on_sequences
    ),
    "ClippedMLP": Case(
        layers.ClippedMLP,
        lambda: {"units": 2, "hidden_units": 2},
        _on_sequences,
    ),
    "ConditionedLSTMCell": Case(
        layers.ConditionedLSTMCell,
        lambda: {"units": 2, "condition_units": 2},
        _nothing,
    ),
    "DiscretizedLogisticMixtureHead": Case(
        layers.DiscretizedLogisticMixtureHead,
        lambda: {"event_size": 2},
        _on_sequences,
    ),
    "FutureStateLoss": Case(layers.FutureStateLoss, dict, _on_sequences),
    "GaussianHead": Case(
        layers.GaussianHead, lambda: {"event_size": 2}, _on_sequences
    ),
    "GaussianMixtureHead": Case(
        layers.GaussianMixtureHead, lambda: {"event_size": 2}, _on_sequences
    ),
    "PenStrokeHead": Case(layers.PenStrokeHead, dict, _on_sequences),
    "GaussianTransition": Case(
        layers.GaussianTransition,
        lambda: {"network": _gaussian_network()},
        _on_states,
    ),
    "BernoulliTransition": Case(
        layers.BernoulliTransition,
        lambda: {"network": keras.layers.Dense(2)},
        _on_states,
    ),
    "StepNormalization": Case(
        layers.StepNormalization,
        lambda: {"num_steps": 3},
        lambda layer: layer(X[:, 0], STEPS),
    ),
    "ActiveUnits": Case(
        metrics.ActiveUnits, lambda: {"latent_dim": 2}, _updated
    ),
    "BitsPerStep": Case(metrics.BitsPerStep, dict, _nothing),
    "mean_discrepancy": Case(
        metrics.mean_discrepancy, lambda: {"a": X, "b": X}
    ),
    "ConstantSchedule": Case(
        schedules.ConstantSchedule, lambda: {"value": 0.5}, lambda f: f(1)
    ),
    "LinearSchedule": Case(
        schedules.LinearSchedule,
        lambda: {"start": 0.0, "end": 1.0, "steps": 5},
        lambda f: f(1),
    ),
    "CyclicalSchedule": Case(
        schedules.CyclicalSchedule,
        lambda: {"start": 0.0, "end": 1.0, "steps": 5},
        lambda f: f(1),
    ),
    "KerasSchedule": Case(
        schedules.KerasSchedule,
        lambda: {"schedule": keras.optimizers.schedules.CosineDecay(0.1, 4)},
        lambda f: f(1),
    ),
    "FreeBits": Case(schedules.FreeBits, lambda: {"nats": 0.1}, lambda f: f(X)),
    "schedules.get": Case(
        schedules.get, lambda: {"identifier": 0.5}, lambda f: f(1)
    ),
    "transition_mlp": Case(
        models.transition_mlp, lambda: {"shape": 2, "units": (2,)}, _nothing
    ),
    "transition_unet": Case(
        models.transition_unet,
        lambda: {"shape": (4, 4, 1), "filters": (8,)},
        _nothing,
    ),
    "AutoregressiveRNN": Case(
        models.AutoregressiveRNN,
        lambda: {
            "core": keras.layers.GRUCell(2),
            "head": layers.GaussianHead(2),
        },
        _nothing,
    ),
    "ZForcing": Case(
        models.ZForcing,
        lambda: {
            "stochastic_rnn": layers.StochasticRNN(2, latent_dim=2),
            "head": layers.GaussianHead(2),
        },
        _nothing,
    ),
    "ProfessorForcing": Case(
        models.ProfessorForcing,
        lambda: {"generator": _generator()},
        _nothing,
    ),
    "GaussianTransition, levels": Case(
        layers.GaussianTransition,
        lambda: {
            "network": models.transition_mlp(
                2, (2,), learned_scale=False, num_steps=2
            ),
            "scale": 0.5,
            "num_steps": 2,
            "level_temperatures": [1.0, 2.0],
            "level_alpha": 0.5,
        },
        _on_states,
    ),
    "VariationalWalkback": Case(
        models.VariationalWalkback,
        lambda: {
            "transition": layers.GaussianTransition(_gaussian_network()),
            "num_steps": 2,
        },
        _nothing,
    ),
    "AttentionMap": Case(
        callbacks.AttentionMap, lambda: {"x": X, "log_dir": "logs"}, _nothing
    ),
    "CreditAssignment": Case(
        callbacks.CreditAssignment,
        lambda: {"x": X, "y": X[:, 0], "log_dir": "logs"},
        _nothing,
    ),
    "DynamicsProjector": Case(
        callbacks.DynamicsProjector,
        lambda: {"x": X, "log_dir": "logs"},
        _nothing,
    ),
    "ExactResume": Case(
        callbacks.ExactResume, lambda: {"backup_dir": "backup"}, _nothing
    ),
    "LatentMonitor": Case(
        callbacks.LatentMonitor, lambda: {"x": X, "log_dir": "logs"}, _nothing
    ),
    "SampleLogger": Case(
        callbacks.SampleLogger,
        lambda: {"log_dir": "logs", "length": 3},
        _nothing,
    ),
    "ScheduleLogger": Case(
        callbacks.ScheduleLogger, lambda: {"log_dir": "logs"}, _nothing
    ),
    "WalkbackTrajectory": Case(
        callbacks.WalkbackTrajectory,
        lambda: {"x": X[:, 0], "log_dir": "logs"},
        _nothing,
    ),
    "SABHyperModel": Case(
        tuners.SABHyperModel,
        lambda: {"input_shape": (3, 2), "num_outputs": 2},
        _nothing,
    ),
    "ZForcingHyperModel": Case(
        tuners.ZForcingHyperModel,
        lambda: {"head": lambda hp: layers.GaussianHead(2)},
        _nothing,
    ),
    "ProfessorForcingHyperModel": Case(
        tuners.ProfessorForcingHyperModel,
        lambda: {"head": lambda hp: layers.GaussianHead(2)},
        _nothing,
    ),
    "WalkbackHyperModel": Case(
        tuners.WalkbackHyperModel, lambda: {"shape": 2}, _nothing
    ),
    "plot_attention": Case(
        utils.plot_attention,
        lambda: {
            "slots": np.zeros((3, 2), "int32"),
            "weights": np.ones((3, 2)),
        },
        _nothing,
    ),
    "fresh_accuracy": Case(
        utils.fresh_accuracy,
        lambda: {"data": _MANY, "free": _MANY + 1, "updates": 1, "units": 2},
    ),
    "drift_by_position": Case(
        utils.drift_by_position,
        lambda: {
            "model": _model("autoregressive"),
            "x": _MANY,
            "length": 1,
            "positions": (1, 2),
        },
        _nothing,
        ("units", "updates", "batch_size", "holdout"),
    ),
    "check_batches": Case(
        utils.check_batches,
        lambda: {"model": _generator(), "num_examples": 4, "batch_size": 2},
    ),
    **{
        name: Case(getattr(datasets, name), lambda: {"num_samples": 2})
        for name in (
            "adding_problem",
            "associative_recall",
            "circle",
            "copying_memory",
            "gaussian_mixture",
            "selective_copying",
            "swiss_roll",
        )
    },
    **{
        name: Case(
            getattr(datasets, name), lambda: {"batch_size": 2}, _first_batch
        )
        for name in (
            "adding_problem_stream",
            "associative_recall_stream",
            "copying_memory_stream",
            "selective_copying_stream",
        )
    },
    "sequential_digits": Case(datasets.sequential_digits, dict),
    **{
        name: Case(getattr(datasets, name), lambda: {"path": NO_FILE})
        for name in (
            "cifar10",
            "imdb",
            "imdb_vocabulary",
            "pen_strokes",
            "penn_treebank",
            "sequential_mnist",
            "spoken_digits",
            "tiny_shakespeare",
        )
    },
}


def _built(model, x=X):
    model(x)
    return model


@functools.cache
def _model(name):
    """A built model or layer; a call compiles what it needs once."""
    if name == "autoregressive":
        return _built(_generator())
    if name == "classes":
        return _built(
            models.AutoregressiveRNN(
                keras.layers.GRUCell(3),
                layers.CategoricalHead(4),
                embedding=keras.layers.Embedding(4, 3),
            ),
            np.zeros((1, 3), "int32"),
        )
    if name == "z_forcing":
        return _built(
            models.ZForcing(
                layers.StochasticRNN(3, latent_dim=2), layers.GaussianHead(2)
            )
        )
    if name == "walkback":
        return _built(
            models.VariationalWalkback(
                layers.GaussianTransition(_gaussian_network()), num_steps=2
            ),
            X[:, 0],
        )
    if name == "walkback_classes":
        network = models.transition_mlp(2, units=(2,), num_classes=3)
        return _built(
            models.VariationalWalkback(
                layers.GaussianTransition(network, num_classes=3), num_steps=2
            ),
            X[:, 0],
        )
    if name == "head":
        return _built(layers.GaussianHead(2))
    if name == "sab":
        return _built(layers.SABLSTM(3, k_top=2, memory_size=4))
    return _built(layers.StochasticRNN(3, latent_dim=2))


def _method(name, method, **arguments):
    """A method of a model that is made when it is first called."""

    def call(**given):
        return getattr(_model(name), method)(**given)

    kind = {
        "autoregressive": models.AutoregressiveRNN,
        "classes": models.AutoregressiveRNN,
        "z_forcing": models.ZForcing,
        "walkback": models.VariationalWalkback,
        "walkback_classes": models.VariationalWalkback,
        "head": layers.GaussianHead,
        "sab": layers.SABLSTM,
        "stochastic": layers.StochasticRNN,
    }[name]
    names = [*inspect.signature(getattr(kind, method)).parameters][1:]
    return Case(call, lambda: arguments, others=tuple(names))


_PARAMETERS = np.zeros((2, 3, 4), "float32")
_LATENTS = np.zeros((2, 3, 2), "float32")
_STATES = [np.zeros((2, 3), "float32")] * 2

METHODS = {
    "AutoregressiveRNN.generate": _method(
        "autoregressive", "generate", length=2
    ),
    "AutoregressiveRNN.generate, classes": _method(
        "classes", "generate", length=2
    ),
    "AutoregressiveRNN.forecast": _method(
        "autoregressive", "forecast", context=X, horizon=2
    ),
    "AutoregressiveRNN.log_likelihood": _method(
        "autoregressive", "log_likelihood", x=X
    ),
    "ZForcing.generate": _method("z_forcing", "generate", length=2),
    "ZForcing.encode": _method("z_forcing", "encode", x=X),
    "ZForcing.decode": _method("z_forcing", "decode", latents=_LATENTS),
    "ZForcing.interpolate": _method("z_forcing", "interpolate", a=X[0], b=X[1]),
    "ZForcing.log_likelihood": _method(
        "z_forcing", "log_likelihood", x=X, num_samples=2
    ),
    "VariationalWalkback.sample": _method("walkback", "sample", num_samples=2),
    "VariationalWalkback.sample, classes": _method(
        "walkback_classes", "sample", num_samples=2, classes=1
    ),
    "VariationalWalkback.walk": _method("walkback", "walk", x=X[:, 0]),
    "VariationalWalkback.inpaint": _method(
        "walkback", "inpaint", x=X[:, 0], mask=X[:, 0] > 0
    ),
    "VariationalWalkback.log_likelihood": _method(
        "walkback", "log_likelihood", x=X[:, 0], num_samples=2
    ),
    "DistributionHead.sample": _method(
        "head", "sample", parameters=_PARAMETERS
    ),
    "DistributionHead.sample_with_gradient": _method(
        "head", "sample_with_gradient", parameters=_PARAMETERS
    ),
    "DistributionHead.log_prob": _method(
        "head", "log_prob", parameters=_PARAMETERS, targets=X
    ),
    "SABLSTM.get_initial_state": _method(
        "sab", "get_initial_state", batch_size=2
    ),
    "SABLSTM.step": _method("sab", "step", inputs=X[:, 0], state=_STATES),
    "StochasticRNN.get_initial_state": _method(
        "stochastic", "get_initial_state", batch_size=2
    ),
    "StochasticRNN.infer": _method("stochastic", "infer", sequences=X),
    "StochasticRNN.step": _method(
        "stochastic", "step", inputs=X[:, 0], state=_STATES
    ),
}
# Bases of classes, an error, a layer without arguments, and what takes models
# or processes.
BASES = {
    "DistributionHead",
    "NonFiniteLossError",
    "Schedule",
    "Symlog",
    "Transition",
    "export_generation",
    "parallel_search",
    "tfd",
}
