"""Shared code of the Z-Forcing examples: flags, training, results.

Each example trains a network in several ways, on the same data for the same
number of steps, to show what keeps its latents alive:

- `plain`: the plain evidence lower bound;
- `annealing`: its KL term grows from a small weight to 1 in the first half;
- `backward`: the backward network must also predict the previous step, as its
  own likelihood;
- `auxiliary`: Z-Forcing, where a latent must also predict what the backward
  network knows of the future, and the backward network has its own likelihood,
  as the authors always trained it;
- `both`: annealing and auxiliary.
"""

import argparse
import math

import keras
import ways

from keras_seqcredit import callbacks
from keras_seqcredit import layers
from keras_seqcredit import models
from keras_seqcredit import schedules

WAYS = ("plain", "annealing", "backward", "auxiliary", "both")
KL_START = 0.2  # From the released code.
FIGURES = ("nll", "kl", "elbo", "active_units", "auxiliary", "backward_nll")
SHOWN = ("plain", "annealing", "auxiliary")


def add_arguments(
    parser: argparse.ArgumentParser,
    choices: tuple[str, ...] = WAYS,
    **defaults,
) -> None:
    """Adds the flags; `defaults` are the example's own."""
    add = parser.add_argument
    add("--latent-dim", type=int, help="latents per step")
    add("--auxiliary-weight", type=float, help="of the auxiliary cost")
    add(
        "--backward-weight",
        type=float,
        help="of the backward network's own likelihood; None uses the weight "
        "of the auxiliary cost",
    )
    add(
        "--stop-backward-gradient",
        action=argparse.BooleanOptionalAction,
        help="train the backward network only on its own likelihood",
    )
    add(
        "--kl-increment",
        type=float,
        help="what annealing adds to the KL term's weight per update; None "
        "reaches a weight of 1 after half of the updates",
    )
    add(
        "--word-dropout",
        type=float,
        help="share of steps hidden from the decoder in training",
    )
    add("--likelihood-samples", type=int, help="posterior samples per sequence")
    ways.add_arguments(
        parser,
        choices,
        **{
            "ways": SHOWN,
            "likelihood_samples": 20,
            "word_dropout": 0.0,
            "stop_backward_gradient": False,
            **defaults,
        },
    )


def make_model(way, head, steps, arguments, embedding=None):
    """A compiled `ZForcing`; `steps` is the number of updates."""
    keras.utils.set_random_seed(arguments.seed)
    rnn = layers.StochasticRNN(
        arguments.units, arguments.latent_dim, seed=arguments.seed
    )
    model = models.ZForcing(
        rnn,
        head,
        embedding=embedding,
        **weights_of(way, steps, arguments),
        word_dropout=arguments.word_dropout,
        seed=arguments.seed,
        name=f"z_forcing_{way}",
    )
    compile_model(model, steps, arguments)
    return model


def compile_model(model, steps, arguments) -> None:
    """Compiles a model for `steps` updates."""
    schedule = keras.optimizers.schedules.CosineDecay(
        arguments.learning_rate, steps
    )
    # The released code's epsilon and gradient-norm limit.
    model.compile(
        keras.optimizers.Adam(schedule, epsilon=1e-5, global_clipnorm=100.0),
        jit_compile=True,
    )


def weights_of(way, steps, arguments) -> dict:
    """The weights of the costs, as arguments of `ZForcing`."""
    weights = {}
    if way in ("annealing", "both"):
        growth = steps // 2
        if arguments.kl_increment is not None:
            growth = math.ceil((1.0 - KL_START) / arguments.kl_increment)
        weights["kl_weight"] = schedules.LinearSchedule(KL_START, 1.0, growth)
    backward = arguments.backward_weight
    if backward is None:
        backward = arguments.auxiliary_weight
    if way in ("backward", "auxiliary", "both"):
        weights["backward_weight"] = backward
        weights["stop_backward_gradient"] = arguments.stop_backward_gradient
    if way in ("auxiliary", "both"):
        weights["auxiliary_weight"] = arguments.auxiliary_weight
    return weights


def measure(model, x_test, arguments) -> dict:
    """The figures of a trained model, in nats per sequence."""
    found = model.evaluate(
        x_test, batch_size=arguments.batch_size, verbose=0, return_dict=True
    )
    value, error = model.log_likelihood(
        x_test,
        num_samples=arguments.likelihood_samples,
        batch_size=arguments.batch_size,
        return_error=True,
    )
    return {
        **{name: found[name] for name in FIGURES},
        "log_likelihood_bound": float(value.mean()),
        "log_likelihood_error": float((error**2).sum() ** 0.5 / len(error)),
    }


def run(
    name, make_head, data, arguments, samples, make_embedding=None, more=None
):
    """Trains in all ways, prints a table and writes `result.json`.

    Args:
        name: String, of the example.
        make_head: Function that returns a new head.
        data: `(train, test)`, as `ZForcing.fit` takes them.
        arguments: The flags.
        samples: Dictionary of arguments for `callbacks.SampleLogger`.
        make_embedding: Function that returns a new embedding, or None.
        more: `more(model, figures, folder)`, called with each trained model;
            it may add figures.

    Returns:
        Dictionary of the figures of each way.
    """
    x, x_test = data
    x, steps = ways.whole_batches(x, arguments.batch_size)

    def make_views(**where):
        return [
            callbacks.SampleLogger(**where, **samples),
            callbacks.LatentMonitor(ways.some_of(x_test), **where),
        ]

    def train(way):
        embedding = make_embedding() if make_embedding else None
        model = make_model(
            way, make_head(), steps * arguments.epochs, arguments, embedding
        )
        trained = ways.fit(model, way, x, x_test, arguments, make_views)
        figures = {**measure(model, x_test, arguments), **trained}
        if more:
            more(model, figures, arguments.logdir / way)
        return figures

    return ways.run(
        name,
        train,
        arguments,
        {
            "ELBO": lambda found: f"{found['elbo']:.1f}",
            "log-likelihood": lambda found: (
                f"{found['log_likelihood_bound']:.1f}"
            ),
            "KL": lambda found: f"{found['kl']:.2f}",
            "active units": lambda found: f"{found['active_units']:.0f}",
        },
    )
