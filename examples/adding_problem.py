"""Adds the two marked numbers of a long sequence.

Trains one network on an endless stream of fresh sequences and measures its mean
squared error on others. A network that always answers 1 has an error of 1/6.

```bash
python examples/adding_problem.py --length 200
python examples/adding_problem.py --length 200 --net truncated
python examples/adding_problem.py --length 400 --shortest 10
```

With `--shortest`, each training sequence draws its own length, log-uniformly
from there to `--length`.

Run the same command again to resume an interrupted run. `--logdir` gets logs
for TensorBoard, the metrics of each epoch, the trained model, and
`result.json`.

References:
    - Ke et al., "Sparse Attentive Backtracking: Temporal Credit Assignment
      Through Reminding", NeurIPS 2018, arXiv:1809.03702.
"""

import argparse
import pathlib

import common

common.select_backend()

import keras  # noqa: E402
import nets  # noqa: E402
import numpy as np  # noqa: E402
import streams  # noqa: E402

from keras_seqcredit import datasets  # noqa: E402


def parse_arguments(argv=None):
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--length", type=nets.positive, default=200, help="steps per sequence"
    )
    parser.add_argument(
        "--shortest",
        type=nets.positive,
        help="shortest sequence to train on (default: --length)",
    )
    parser.add_argument(
        "--evaluate-lengths",
        type=nets.positive,
        nargs="*",
        default=[50, 100, 400, 1000],
        help="lengths to evaluate on, besides the training length",
    )
    # The sum needs both numbers alike: a score that saturates gives them the
    # same weight, one that grows with a number prefers the larger.
    nets.add_arguments(parser, attention="additive", k_top=10, k_trunc=10)
    streams.add_arguments(parser, learning_rate=6e-3, epochs=30, views=False)
    arguments = streams.parse(parser, argv)
    if arguments.shortest is not None and not (
        2 <= arguments.shortest <= arguments.length
    ):
        parser.error(
            "argument --shortest: expected 2 to --length "
            f"{arguments.length}, received {arguments.shortest}"
        )
    if arguments.logdir is None:
        arguments.logdir = pathlib.Path(
            "runs/adding_problem",
            f"{arguments.net}-{arguments.read_into}-length{arguments.length}"
            f"-shortest{arguments.shortest or arguments.length}"
            f"-seed{arguments.seed}",
        )
    return arguments


def make_stream(arguments, batches, seed, initial_epoch=0, length=None):
    """Fresh sequences, of the longest training length by default."""
    return datasets.adding_problem_stream(
        arguments.batch_size,
        length or arguments.length,
        batches_per_epoch=batches,
        seed=seed,
        initial_epoch=initial_epoch,
    )


def build_model(arguments):
    """Makes a network of one recurrent layer, with a number at the end."""
    inputs = keras.Input((None, 2))
    state = nets.recurrent(arguments, inputs, return_sequences=False)
    model = keras.Model(inputs, keras.layers.Dense(1)(state))
    model.compile(
        streams.optimizer(arguments), "mse", jit_compile=arguments.jit
    )
    return model


def evaluate(arguments, model, length):
    """Measures the model on sequences not drawn in training."""
    sequences = arguments.evaluate_sequences
    if length > 500:
        # Attention to a long past takes time.
        sequences = min(sequences, 256)
    batches = -(-sequences // arguments.batch_size)
    stream = make_stream(
        arguments, batches, arguments.seed + 1_000_000, length=length
    )
    return {
        "length": length,
        "sequences": batches * arguments.batch_size,
        "mean_squared_error": model.evaluate(stream, verbose=0),
    }


def weights_near_numbers(arguments, model):
    """Mean weights of the last read near the larger and the smaller number.

    Near are the state after the number and those after up to `k_trunc - 1`
    steps more: the gradient takes it there. Sequences with numbers nearer to
    each other are left out.
    """
    reader = nets.reader(model)
    if reader is None:
        return {}
    (x, _), *_ = make_stream(arguments, 1, arguments.seed + 2_000_000)
    slots, weights = (output[:, -1] for output in reader.predict_on_batch(x))
    numbers, markers = np.moveaxis(np.array(x), -1, 0)
    first, second = np.sort(np.argsort(-markers, axis=1)[:, :2], axis=1).T
    rows = np.arange(len(first))
    first_is_larger = numbers[rows, first] > numbers[rows, second]
    apart = second - first >= arguments.k_trunc
    found = {}
    for name, steps in (
        ("larger", np.where(first_is_larger, first, second)),
        ("smaller", np.where(first_is_larger, second, first)),
    ):
        # Slot 0 is the initial state.
        start = (steps // arguments.k_att + 1)[:, None]
        end = ((steps + arguments.k_trunc - 1) // arguments.k_att + 1)[:, None]
        near = (start <= slots) & (slots <= end)
        weight = np.where(near, weights, 0).sum(axis=1)
        found[f"weight_near_{name}"] = float(weight[apart].mean())
    return found


def main():
    """Trains, evaluates, and writes the result."""
    arguments = parse_arguments()
    model, trained = streams.run(
        arguments,
        lambda: build_model(arguments),
        lambda initial_epoch: make_stream(
            arguments,
            arguments.steps_per_epoch,
            arguments.seed,
            initial_epoch,
            arguments.shortest and (arguments.shortest, arguments.length),
        ),
    )
    lengths = sorted({arguments.length, *arguments.evaluate_lengths})
    evaluation = [evaluate(arguments, model, length) for length in lengths]
    path = streams.write_result(
        arguments,
        "adding problem",
        {
            **evaluation[lengths.index(arguments.length)],
            "chance": 1 / 6,
            "evaluation": evaluation,
            **weights_near_numbers(arguments, model),
        },
        trained,
    )
    print("\n| length | mean squared error |\n| ---: | ---: |")
    for row in evaluation:
        print(f"| {row['length']} | {row['mean_squared_error']:.2e} |")
    print(f"| chance | {1 / 6:.3f} |\n\nResults: {path}")


if __name__ == "__main__":
    main()
