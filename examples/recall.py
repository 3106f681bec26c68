"""Modern recall benchmarks: selective copying and answers to queries.

Trains one network on an endless stream of fresh sequences and measures on
others how much it recalls. The tasks:

- `selective-copying`: ten symbols at random steps between blanks, to be
  recalled in order;
- `associative-recall`: pairs of a key and a value, then queries for the values
  of some keys;
- `two-hops`: pairs that lead to other pairs, so that an answer needs two reads,
  the second one based on the result of the first.

```bash
python examples/recall.py --task selective-copying
python examples/recall.py --task associative-recall --net self-attention
```

Run the same command again to resume an interrupted run. `--logdir` gets logs
for TensorBoard, the metrics of each epoch, the trained model, and
`result.json`.

References:
    - Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State
      Spaces", 2023, arXiv:2312.00752: selective copying.
    - Arora et al., "Zoology: Measuring and Improving Recall in Efficient
      Language Models", 2023, arXiv:2312.04927: associative recall.
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

NUM_SYMBOLS, VOCABULARY = 10, 8
NUM_PAIRS, NUM_KEYS, NUM_VALUES = 8, 16, 16
# Target classes, input classes, and the probability of a correct guess.
TASKS = {
    "selective-copying": (VOCABULARY + 1, VOCABULARY + 2, 1 / VOCABULARY),
    "associative-recall": (
        NUM_VALUES + 1,
        NUM_VALUES + NUM_KEYS + 1,
        1 / NUM_VALUES,
    ),
    "two-hops": (NUM_VALUES + 1, NUM_VALUES + NUM_KEYS + 1, 1 / NUM_VALUES),
}


def parse_arguments(argv=None):
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--task", choices=TASKS, default="associative-recall")
    parser.add_argument(
        "--length",
        type=nets.positive,
        default=64,
        help="steps of a sequence; for selective copying, the steps in which "
        "symbols appear",
    )
    nets.add_arguments(parser)
    streams.add_recall_argument(parser)
    streams.add_arguments(parser, learning_rate=6e-3, epochs=20, views=False)
    arguments = streams.parse(parser, argv)
    if arguments.logdir is None:
        arguments.logdir = pathlib.Path(
            "runs/recall",
            f"{arguments.task}-{arguments.net}-{arguments.read_into}"
            f"-seed{arguments.seed}",
        )
    return arguments


class Stream(keras.utils.PyDataset):
    """Fresh sequences of a task, with the weight of each step in the loss."""

    def __init__(self, arguments, batches, seed, initial_epoch=0):
        super().__init__()
        self.recall_weight = arguments.recall_weight
        common_arguments = {
            "length": arguments.length,
            "one_hot": True,
            "batches_per_epoch": batches,
            "seed": seed,
            "initial_epoch": initial_epoch,
        }
        if arguments.task == "selective-copying":
            self.sequences = datasets.selective_copying_stream(
                arguments.batch_size,
                num_symbols=NUM_SYMBOLS,
                vocabulary=VOCABULARY,
                **common_arguments,
            )
        else:
            self.sequences = datasets.associative_recall_stream(
                arguments.batch_size,
                num_pairs=NUM_PAIRS,
                num_keys=NUM_KEYS,
                num_values=NUM_VALUES,
                hops=2 if arguments.task == "two-hops" else 1,
                **common_arguments,
            )

    def __len__(self):
        return len(self.sequences)

    def __getitem__(self, index):
        x, y = self.sequences[index]
        real = np.ones(y.shape, "float32")
        return x, y, streams.step_weights(y, real, self.recall_weight)

    def on_epoch_end(self):
        self.sequences.on_epoch_end()


def build_model(arguments):
    """Makes a network of one recurrent layer, with logits at every step."""
    outputs, features, _ = TASKS[arguments.task]
    inputs = keras.Input((None, features))
    states = nets.recurrent(arguments, inputs)
    model = keras.Model(inputs, keras.layers.Dense(outputs)(states))
    streams.compile_for_recall(arguments, model)
    return model


def main():
    """Trains, evaluates, and writes the result."""
    arguments = parse_arguments()
    model, trained = streams.run(
        arguments,
        lambda: build_model(arguments),
        lambda initial_epoch: Stream(
            arguments, arguments.steps_per_epoch, arguments.seed, initial_epoch
        ),
    )
    batches = -(-arguments.evaluate_sequences // arguments.batch_size)
    figures = model.evaluate(
        Stream(arguments, batches, arguments.seed + 1_000_000),
        return_dict=True,
        verbose=0,
    )
    *_, chance = TASKS[arguments.task]
    result = {
        "accuracy": figures["recall_accuracy"],
        "cross_entropy": figures["recall_cross_entropy"],
        "chance": chance,
        "sequences": batches * arguments.batch_size,
    }
    path = streams.write_result(
        arguments,
        arguments.task,
        {
            **result,
            "steps_to_99_percent": streams.steps_to(
                0.99, trained["history"], arguments.steps_per_epoch
            ),
        },
        trained,
    )
    print(
        f"\n{arguments.task}: {result['accuracy']:.2%} recalled "
        f"(chance {chance:.2%})\nResults: {path}"
    )


if __name__ == "__main__":
    main()
