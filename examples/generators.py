"""Shared code of the Professor Forcing examples: flags, training, results.

Each example trains the same generator in several ways, on the same data for the
same number of steps, to compare how it behaves on its own samples:

- `teacher`: teacher forcing, which only reads data;
- `scheduled`: scheduled sampling, where more and more steps read samples;
- `professor`: Professor Forcing, where a discriminator compares both runs;
- `mse`: states of the free run are pulled toward states on data.
"""

import argparse

import keras
import numpy as np
import ways

from keras_seqcredit import callbacks
from keras_seqcredit import layers
from keras_seqcredit import models
from keras_seqcredit import schedules

WAYS = ("teacher", "scheduled", "professor", "mse")


def add_arguments(parser: argparse.ArgumentParser, **defaults) -> None:
    """Adds the flags; `defaults` are the example's own."""
    add = parser.add_argument
    add(
        "--sampling-probability", type=float, help="for `scheduled`, at the end"
    )
    add("--adversarial-weight", type=float, help="for `professor`")
    add("--mse-weight", type=float, help="for `mse`")
    add("--discriminator-units", type=int, help="for `professor`")
    add(
        "--discriminator-learning-rate",
        type=float,
        help="for `professor`; by default the generator's",
    )
    add("--free-running-steps", type=int, help="for `professor` and `mse`")
    ways.add_arguments(
        parser,
        WAYS,
        **{
            "sampling_probability": 0.25,
            "adversarial_weight": 1.0,
            "mse_weight": 0.01,
            "discriminator_units": 64,
            **defaults,
        },
    )


def make_model(way, make_generator, steps, arguments):
    """A compiled model, and the generator that it trains.

    Args:
        way: One of `WAYS`.
        make_generator: Function that takes the sampling probability and
            returns an `AutoregressiveRNN`.
        steps: Integer, number of updates.
        arguments: The flags.
    """
    keras.utils.set_random_seed(arguments.seed)
    probability = 0.0
    if way == "scheduled":
        probability = schedules.LinearSchedule(
            0.0, arguments.sampling_probability, steps
        )
    model = generator = make_generator(probability)
    if way == "professor":
        model = models.ProfessorForcing(
            generator,
            layers.BehaviorDiscriminator(
                arguments.discriminator_units, dtype="float32"
            ),
            adversarial_weight=arguments.adversarial_weight,
            free_running_steps=arguments.free_running_steps,
        )
    elif way == "mse":
        model = models.ProfessorForcing(
            generator,
            adversarial_weight=arguments.mse_weight,
            matching="mse",
            free_running_steps=arguments.free_running_steps,
        )

    def adam(learning_rate):
        schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
        return keras.optimizers.Adam(schedule, clipnorm=1.0)

    optimizers = [adam(arguments.learning_rate)]
    if way == "professor" and arguments.discriminator_learning_rate:
        optimizers.append(adam(arguments.discriminator_learning_rate))
    model.compile(*optimizers, jit_compile=True)
    return model, generator


def measure(generator, x, arguments) -> dict:
    """Nats per sequence, and the gap between free runs and runs on data.

    Every way of training uses the same gap: the maximum mean discrepancy
    between hidden states on data and on the generator's own samples.
    """
    probe = models.ProfessorForcing(generator, matching="mse")
    probe.compile("sgd", jit_compile=True)
    found = probe.evaluate(
        x, batch_size=arguments.batch_size, verbose=0, return_dict=True
    )
    return {name: found[name] for name in ("nll", "free_running_gap")}


def draw_states(x, arguments, path, number=300):
    """Draws states on data and of free runs in a plane, a panel for each way.

    t-SNE of `number` states of each kind, from the second half of sequences. In
    the paper's figure, Professor Forcing makes the two overlap.
    """
    import matplotlib
    from sklearn.manifold import TSNE

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        1,
        len(arguments.ways),
        figsize=(3 * len(arguments.ways), 3.2),
        squeeze=False,
        layout="constrained",
    )
    for axis, way in zip(axes[0], arguments.ways, strict=True):
        generator = keras.saving.load_model(
            arguments.logdir / way / "generator.keras"
        )
        runs = models.ProfessorForcing(generator, matching="mse")(x)
        hidden = keras.ops.convert_to_numpy(runs.hidden).astype("float32")
        on_data, free = np.split(hidden, 2)
        batch, steps = on_data.shape[:2]
        valid = np.ones((batch, steps), bool)
        if runs.mask is not None:
            valid = np.array(runs.mask[:batch])
        valid[:, : steps // 2] = False
        rows = np.argwhere(valid)
        rng = np.random.default_rng(arguments.seed)
        rows = rng.permutation(rows)[:number]
        states = np.concatenate([a[tuple(rows.T)] for a in (on_data, free)])
        # Neighbors cannot be more than there are states.
        perplexity = min(30, (len(states) - 1) / 3)
        points = TSNE(
            perplexity=perplexity, random_state=arguments.seed
        ).fit_transform(states)
        for part, label in zip(
            np.split(points, 2), ("data", "free"), strict=True
        ):
            axis.scatter(*part.T, s=4, alpha=0.6, label=label)
        axis.set_title(way, fontsize=10)
        axis.set_xticks([])
        axis.set_yticks([])
    axes[0, 0].legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def run(
    name, make_generator, data, arguments, more, samples, columns=None, **look
):
    """Trains in all ways, prints a table and writes `result.json`.

    Args:
        name: String, name of the example.
        make_generator: See `make_model`.
        data: `(train, test)`, as `AutoregressiveRNN.fit` takes them.
        arguments: The flags.
        more: `more(generator, figures, folder)`, called with each trained
            generator; it may add figures.
        samples: Dictionary of arguments for `callbacks.SampleLogger`.
        columns: More columns of the table; see `ways.run`.
        **look: Arguments for `callbacks.DynamicsProjector`.

    Returns:
        Dictionary of the figures of each way. Also draws `states.png`; see
        `draw_states`.
    """
    x, x_test = data
    x, steps = ways.whole_batches(x, arguments.batch_size)

    def make_views(**where):
        return [
            callbacks.SampleLogger(**where, **samples),
            callbacks.DynamicsProjector(ways.some_of(x_test), **where, **look),
        ]

    def train(way):
        model, generator = make_model(
            way, make_generator, steps * arguments.epochs, arguments
        )
        trained = ways.fit(model, way, x, x_test, arguments, make_views)
        folder = arguments.logdir / way
        generator.save(folder / "generator.keras")
        figures = {**measure(generator, x_test, arguments), **trained}
        more(generator, figures, folder)
        return figures

    results = ways.run(
        name,
        train,
        arguments,
        {
            "nats": lambda found: f"{found['nll']:.2f}",
            "gap": lambda found: f"{found['free_running_gap']:.4f}",
            **(columns or {}),
        },
    )
    draw_states(
        ways.some_of(x_test), arguments, arguments.logdir / "states.png"
    )
    return results
