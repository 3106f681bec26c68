"""Times `VariationalWalkback`: training steps and sampling.

Every result is a median; the compared variants take turns in the same run. A
training step of `fit` consists of the walk, its way back and Adam, on points in
the plane (two hidden layers of 256, batch 500) or on images of 28 x 28 (a
U-Net, batch 100), with walks of 30 steps unless stated otherwise:

- default: the library's default here. On a CPU, a step is scored by the network
  pass that the next one is drawn from;
- whole: the walk is sampled, then all its steps are scored in one call
  (`steps_per_call=None`);
- one by one: the same objective, with each step scored in its own call, inside
  the same compiled training step (`steps_per_call=1`);
- online: an update after each step, inside one compiled training step;
- separate: as in the authors' release, an update after each step, each one a
  call of a compiled training step. The acceptance, which the release does not
  measure and which would need two more passes per call, is left out.

Steps on points are compiled by XLA on both backends. Steps on images are
compiled as Keras chooses: on a CPU, TensorFlow's own convolutions are faster
than XLA's.

    make benchmark BENCHMARKS=variational_walkback

Prints Markdown tables and writes JSON to `--output`.
"""

import argparse
import pathlib

from examples.benchmarks.measuring import table
from examples.benchmarks.measuring import time_in_turns
from examples.benchmarks.measuring import training

MODES = ("default", "whole", "one by one", "online", "separate")
STEPS_PER_CALL = {"whole": None, "one by one": 1}
NUM_STEPS = 30
SECTIONS = ("points", "images", "length", "sampling")
BATCH = {"points": 500, "images": 100}
SHAPE = {"points": (2,), "images": (28, 28, 1)}


def make_model(mode: str, data: str, num_steps: int = NUM_STEPS):
    import keras
    from keras import ops

    from keras_seqcredit import layers
    from keras_seqcredit import models

    class Separate(models.VariationalWalkback):
        def _acceptance(self, state):
            return ops.zeros(ops.shape(state)[:1])

    kind = Separate if mode == "separate" else models.VariationalWalkback
    keras.utils.set_random_seed(0)
    if data == "points":
        network = models.transition_mlp(2, (256, 256))
    else:
        network = models.transition_unet((28, 28, 1), (16, 32))
    model = kind(
        layers.GaussianTransition(network),
        1 if mode == "separate" else num_steps,
        temperature_factor=1.1,
        online=mode == "online",
        steps_per_call=STEPS_PER_CALL.get(mode, "auto"),
        seed=0,
    )
    model.build((None, *SHAPE[data]))
    jit_compile = True if data == "points" else "auto"
    model.compile(keras.optimizers.Adam(1e-4), jit_compile=jit_compile)
    return model


def training_steps(mode: str, data: str, steps: int, walk: int = NUM_STEPS):
    """A function that trains on one batch, with walks of `walk` steps."""
    import numpy as np

    model = make_model(mode, data, walk)
    shape = BATCH[data], *SHAPE[data]
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    return training(model, (x,), steps * walk if mode == "separate" else steps)


def sampling(num_steps: int, num_points: int):
    """A function that runs a chain of `num_steps` steps."""
    model = make_model("default", "points")
    return lambda: model.sample(
        num_points, extra_steps=num_steps - NUM_STEPS, seed=0
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--steps", type=int, default=1, help="per `fit`")
    parser.add_argument("--output", default="runs/benchmarks")
    parser.add_argument("--modes", nargs="+", default=MODES, choices=MODES)
    parser.add_argument(
        "--sections",
        nargs="+",
        default=SECTIONS,
        choices=SECTIONS,
    )
    parser.add_argument("--points", type=int, default=10_000, help="to sample")
    arguments = parser.parse_args()

    import keras

    from examples.common import describe_machine
    from examples.common import write_json

    repeats = arguments.repeats
    result = {"machine": describe_machine()}
    for data in ("points", "images"):
        if data in arguments.sections:
            calls = {
                mode: training_steps(mode, data, arguments.steps)
                for mode in arguments.modes
            }
            few = repeats if data == "points" else max(3, repeats // 3)
            result[data] = time_in_turns(calls, few, arguments.steps)
            title = f"A training step of {NUM_STEPS} steps, {data}"
            print(table(title, result[data], arguments.modes[0]), flush=True)
    if "length" in arguments.sections:
        calls = {
            f"{walk} steps": training_steps(
                "default", "points", arguments.steps, walk
            )
            for walk in (10, 30, 90)
        }
        result["length"] = time_in_turns(calls, repeats, arguments.steps)
        print(table("A training step, points", result["length"], "30 steps"))
    if "sampling" in arguments.sections:
        calls = {
            f"{steps} steps": sampling(steps, arguments.points)
            for steps in (30, 100, 300)
        }
        result["sampling"] = time_in_turns(calls, max(3, repeats // 3))
        title = f"Sampling {arguments.points:,} points"
        print(table(title, result["sampling"], "30 steps"))
    backend = keras.backend.backend()
    path = pathlib.Path(arguments.output) / f"walkback_{backend}.json"
    write_json(path, result)
    print(f"\n{path}")


if __name__ == "__main__":
    main()
