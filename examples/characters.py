"""Bits per character of text, with the gradient cut every few characters.

Trains one network on the Penn Treebank, character by character, and measures
bits per character on the validation and test text.

```bash
python examples/characters.py --data-dir data
python examples/characters.py --data-dir data --net truncated
```

`--data-dir` is the folder with `ptb.train.txt.gz`, `ptb.valid.txt.gz` and
`ptb.test.txt.gz`. Run the same command again to resume an interrupted run.
`--logdir` gets logs for TensorBoard, the metrics of each epoch, the trained
model, and `result.json`.

References:
    - Ke et al., "Sparse Attentive Backtracking: Temporal Credit Assignment
      Through Reminding", NeurIPS 2018, arXiv:1809.03702.
"""

import argparse
import math
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
    add = parser.add_argument
    add("--data-dir", required=True, help="folder of the text")
    add(
        "--length",
        type=nets.positive,
        default=100,
        help="characters per sequence",
    )
    add(
        "--test-characters",
        type=nets.positive,
        default=200_000,
        help="taken from the start of the validation and test texts",
    )
    nets.add_arguments(parser, units=128)
    streams.add_arguments(parser, learning_rate=4e-3, epochs=20, views=False)
    arguments = streams.parse(parser, argv)
    if arguments.logdir is None:
        arguments.logdir = pathlib.Path(
            "runs/characters",
            f"{arguments.net}-{arguments.read_into}-seed{arguments.seed}",
        )
    return arguments


class Pieces(keras.utils.PyDataset):
    """Random pieces of a text, drawn anew in every epoch."""

    def __init__(self, text, arguments, initial_epoch=0):
        super().__init__()
        self.text = text
        self.arguments = arguments
        self.epoch = initial_epoch

    def __len__(self):
        return self.arguments.steps_per_epoch

    def __getitem__(self, index):
        a = self.arguments
        random = np.random.default_rng([a.seed, self.epoch, index])
        starts = random.integers(len(self.text) - a.length, size=a.batch_size)
        pieces = self.text[starts[:, None] + np.arange(a.length + 1)]
        return pieces[:, :-1], pieces[:, 1:]

    def on_epoch_end(self):
        self.epoch += 1


def cut(text, arguments):
    """`(x, y)`, the text cut into pieces."""
    text = text[: arguments.test_characters]
    number = (len(text) - 1) // arguments.length
    # Whole batches only, so that one program is compiled, not two.
    number -= number % arguments.batch_size
    size = number * arguments.length
    shape = (number, arguments.length)
    return text[:size].reshape(shape), text[1 : size + 1].reshape(shape)


def bits_per_character(y_true, y_pred):
    """Cross-entropy in bits."""
    nats = keras.losses.sparse_categorical_crossentropy(
        y_true, y_pred, from_logits=True
    )
    return nats / math.log(2)


def build_model(arguments, vocabulary):
    """Makes a network of one recurrent layer, with logits at every step."""
    inputs = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(vocabulary, 32)(inputs)
    states = nets.recurrent(arguments, embedded)
    model = keras.Model(inputs, keras.layers.Dense(vocabulary)(states))
    model.compile(
        streams.optimizer(arguments),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[bits_per_character],
        jit_compile=arguments.jit,
    )
    return model


def main():
    """Trains, evaluates, and writes the result."""
    arguments = parse_arguments()
    (train, valid, test), vocabulary = datasets.penn_treebank(
        arguments.data_dir
    )
    model, trained = streams.run(
        arguments,
        lambda: build_model(arguments, len(vocabulary)),
        lambda initial_epoch: Pieces(train, arguments, initial_epoch),
    )
    bits = {}
    for name, text in (("valid", valid), ("test", test)):
        x, y = cut(text, arguments)
        bits[name] = model.evaluate(
            x,
            y,
            batch_size=arguments.batch_size,
            return_dict=True,
            verbose=0,
        )["bits_per_character"]
    path = streams.write_result(
        arguments,
        "characters of the Penn Treebank",
        {"bits_per_character": bits},
        trained,
    )
    print(
        f"\nBits per character: {bits['valid']:.3f} validation, "
        f"{bits['test']:.3f} test\nResults: {path}"
    )


if __name__ == "__main__":
    main()
