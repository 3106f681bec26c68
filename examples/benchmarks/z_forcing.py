"""Times and measures `ZForcing` against the code it replaces.

A step is a whole training step of `fit` under jit: forward, backward and Adam,
on a batch of 32 sequences of 40 frames of 200 samples; 512 units, 128 latent
variables, a Gaussian head. `released` computes the same loss with every network
inside the time loop, as in the authors' code; `lstm` is a language model of the
same size without latents. Results are medians; networks take turns.

    make benchmark BACKENDS=jax

Prints Markdown tables and writes JSON to `--output`.
"""

import argparse
import pathlib

from examples.benchmarks.measuring import peaks_of_memory
from examples.benchmarks.measuring import report_peak
from examples.benchmarks.measuring import table
from examples.benchmarks.measuring import time_in_turns
from examples.benchmarks.measuring import training

BATCH, TIME, FEATURES, UNITS, LATENT = 32, 40, 200, 512, 128
AUXILIARY_WEIGHT = 0.1
NETS = ("lstm", "z_forcing", "released")
SECTIONS = ("steps", "memory")


def make_model(net: str):
    import keras

    from examples.benchmarks.released_z_forcing import ReleasedZForcing
    from keras_seqcredit.layers import GaussianHead
    from keras_seqcredit.layers import StochasticRNN
    from keras_seqcredit.models import ZForcing

    loss = None
    if net == "lstm":
        head = GaussianHead(FEATURES)
        model = keras.Sequential(
            [
                keras.Input((TIME, FEATURES)),
                keras.layers.LSTM(
                    UNITS, return_sequences=True, use_cudnn=False
                ),
                head,
            ]
        )
        loss = head.negative_log_likelihood
    elif net == "z_forcing":
        model = ZForcing(
            StochasticRNN(UNITS, LATENT),
            GaussianHead(FEATURES),
            auxiliary_weight=AUXILIARY_WEIGHT,
        )
    else:
        model = ReleasedZForcing(UNITS, LATENT, FEATURES, AUXILIARY_WEIGHT)
    optimizer = keras.optimizers.Adam(1e-3, epsilon=1e-5, global_clipnorm=100.0)
    model.compile(optimizer, loss, jit_compile=True)
    return model


def make_steps(net: str, steps: int = 1):
    """A function that trains `steps` steps."""
    import numpy as np

    model = make_model(net)
    random = np.random.default_rng(0)
    frames = random.normal(size=(BATCH, TIME, FEATURES)).astype("float32")
    data = (frames,)
    if net == "lstm":
        past = np.pad(frames[:, :-1], [(0, 0), (1, 0), (0, 0)])
        data = (past, frames)
    return training(model, data, steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--steps", type=int, default=5, help="per `fit`")
    parser.add_argument("--output", default="runs/benchmarks")
    parser.add_argument(
        "--sections", nargs="+", default=SECTIONS, choices=SECTIONS
    )
    parser.add_argument("--measure", choices=NETS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        report_peak(lambda: None, make_steps(arguments.measure))
        return

    import keras

    from examples.common import describe_machine
    from examples.common import write_json

    result = {"machine": describe_machine()}
    if "steps" in arguments.sections:
        calls = {net: make_steps(net, arguments.steps) for net in NETS}
        result["step"] = time_in_turns(
            calls, arguments.repeats, arguments.steps
        )
        print(table("A training step of Z-Forcing", result["step"], "lstm"))
        median = {net: result["step"][net]["median"] for net in NETS}
        faster = median["released"] / median["z_forcing"]
        slower = median["z_forcing"] / median["lstm"]
        print(f"{faster:.2f} times as fast as released, ", end="")
        print(f"{slower:.2f} times as slow as lstm.\n")
        result["times_as_fast_as_released"] = faster
        result["times_as_slow_as_lstm"] = slower
    if "memory" in arguments.sections:
        result["memory"] = peaks_of_memory(__spec__.name, NETS)
    backend = keras.backend.backend()
    path = pathlib.Path(arguments.output) / f"z_forcing_{backend}.json"
    write_json(path, result)
    print(f"\n{path}")


if __name__ == "__main__":
    main()
