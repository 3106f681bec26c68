"""Recalls symbols after a long gap: the copying memory problem.

Trains `SABLSTM` on an endless stream of fresh sequences, with its gradient cut
every 5 steps. On other sequences, measures how many of the symbols it recalls,
after gaps as long as in training, and after shorter and longer ones.

```bash
python examples/copying_memory.py
python examples/copying_memory.py --net truncated
```

The second command trains the same network without attention, which is a plain
LSTM under truncated back-propagation. `full` is a plain LSTM under full
back-propagation. `dense` is the first network with a softmax over all slots,
also under full back-propagation. `self-attention` is an LSTM followed by causal
attention to all its past states, from Keras' own layers.

Each sequence has its own gap, of 1 to `--length` steps, short ones as often as
long ones; `--shortest 100` trains only on gaps of 100 steps. In the loss, the
recall counts as `--recall-weight` times all other steps; with 0, every step
counts the same, as in the paper. `--read-into state` is the paper's form.

Run the same command again to resume an interrupted run, or with more `--epochs`
to extend a finished one. `--logdir` gets logs and views for TensorBoard, the
metrics of each epoch, the trained model, a picture of its attention, and
`result.json`.

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

from keras_seqcredit import callbacks  # noqa: E402
from keras_seqcredit import datasets  # noqa: E402
from keras_seqcredit import layers  # noqa: E402

NUM_SYMBOLS = 10
VOCABULARY = 8


def parse_arguments(argv=None):
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--length",
        type=nets.positive,
        default=100,
        help="longest gap to train on, T",
    )
    add(
        "--shortest",
        type=nets.positive,
        default=1,
        help="shortest gap to train on",
    )
    add(
        "--evaluate-lengths",
        type=nets.positive,
        nargs="*",
        default=[10, 30, 60, 200, 300],
        help="gaps to evaluate on, besides the longest training gap",
    )
    add(
        "--exchange",
        action="store_true",
        help="also recall from the memory of one gap with the state of another",
    )
    nets.add_arguments(parser)
    streams.add_recall_argument(parser)
    streams.add_arguments(parser, learning_rate=6e-3, epochs=20)
    arguments = streams.parse(parser, argv)
    if arguments.shortest > arguments.length:
        parser.error(
            "argument --shortest: expected at most --length "
            f"{arguments.length}, received {arguments.shortest}"
        )
    if arguments.logdir is None:
        arguments.logdir = pathlib.Path(
            "runs/copying_memory",
            f"{arguments.net}-{arguments.read_into}-length{arguments.length}"
            f"-shortest{arguments.shortest}-trunc{arguments.k_trunc}"
            f"-seed{arguments.seed}",
        )
    return arguments


def build_model(arguments):
    """Makes a network of one recurrent layer, with logits at every step."""
    inputs = keras.Input((None, VOCABULARY + 2))
    states = nets.recurrent(arguments, inputs)
    model = keras.Model(inputs, keras.layers.Dense(VOCABULARY + 1)(states))
    streams.compile_for_recall(arguments, model)
    return model


class Stream(keras.utils.PyDataset):
    """Fresh one-hot sequences, with the weight of each step in the loss."""

    def __init__(self, arguments, batches, seed, initial_epoch=0):
        super().__init__()
        shortest, longest = arguments.shortest, arguments.length
        self.sequences = datasets.copying_memory_stream(
            arguments.batch_size,
            longest if shortest == longest else (shortest, longest),
            NUM_SYMBOLS,
            VOCABULARY,
            one_hot=True,
            batches_per_epoch=batches,
            seed=seed,
            initial_epoch=initial_epoch,
        )
        self.recall_weight = arguments.recall_weight

    def __len__(self):
        return len(self.sequences)

    def __getitem__(self, index):
        x, y, *real = self.sequences[index]
        real = real[0] if real else np.ones(y.shape, "float32")
        return x, y, streams.step_weights(y, real, self.recall_weight)

    def on_epoch_end(self):
        self.sequences.on_epoch_end()


def views(arguments):
    """Callbacks that draw what the network reads and how far credit reaches."""
    if not arguments.views:
        return []
    x, y = datasets.copying_memory(
        4, arguments.length, NUM_SYMBOLS, VOCABULARY, one_hot=True, seed=0
    )
    frequency = max(1, arguments.epochs // 4)
    found = [
        callbacks.CreditAssignment(
            x, y, arguments.logdir, layer=None, frequency=frequency
        )
    ]
    if arguments.net == "sab":
        found.append(
            callbacks.AttentionMap(x, arguments.logdir, frequency=frequency)
        )
    return found


def evaluate(arguments, model, reader, length):
    """Evaluates the model on sequences not drawn in training."""
    sequences, batch_size = arguments.evaluate_sequences, arguments.batch_size
    if length > 500:
        # Attention to a long past takes time and memory.
        sequences, batch_size = min(sequences, 64), min(batch_size, 8)
    x, y = datasets.copying_memory(
        sequences,
        length,
        NUM_SYMBOLS,
        VOCABULARY,
        one_hot=True,
        seed=arguments.seed + 1_000_000,
    )
    # All sequences up to the training length share one program.
    missing = max(0, arguments.length - length)
    x_padded = np.pad(x, [(0, 0), (0, missing), (0, 0)])
    y_padded = np.pad(y, [(0, 0), (0, missing)])
    figures = model.evaluate(
        x_padded,
        y_padded,
        batch_size=batch_size,
        return_dict=True,
        verbose=0,
    )
    result = {
        "length": length,
        "sequences": sequences,
        "accuracy": figures["recall_accuracy"],
        "cross_entropy": figures["recall_cross_entropy"],
    }
    if reader is not None:
        slots, weights = reader.predict(
            x_padded[:64], batch_size=batch_size, verbose=0
        )
        for name, steps in (
            ("weight_on_true_slot", 1),
            ("weight_on_true_segment", arguments.k_trunc),
        ):
            result[name] = weight_on_true_slots(
                slots, weights, length, arguments.k_att, steps
            )
    return result


def weight_on_true_slots(slots, weights, length, k_att, steps):
    """Mean share of a recall step's attention that is on its own symbol.

    Counts the state after the symbol and up to `steps - 1` later states, from
    which the gradient reaches the symbol.
    """
    recall = slice(length + NUM_SYMBOLS, length + 2 * NUM_SYMBOLS)
    slots, weights = slots[:, recall], weights[:, recall]
    # Slot 0 is the initial state.
    symbols = np.arange(NUM_SYMBOLS)[None, :, None]
    first, last = symbols // k_att + 1, (symbols + steps - 1) // k_att + 1
    true = (first <= slots) & (slots <= last)
    return float(np.where(true, weights, 0).sum(axis=-1).mean())


def exchange(arguments, model, lengths):
    """Recalls from the memory of one gap with the LSTM's state of another.

    If a network fails at gaps it was not trained on, this shows which of the
    two it depends on. Returns the accuracy by both gaps.
    """
    layer = model.get_layer("sab")
    runner = layers.SABLSTM.from_config(
        {**layer.get_config(), "return_state": True, "return_memory": True}
    )
    runner.build((None, None, VOCABULARY + 2))
    runner.set_weights(layer.get_weights())
    sequences = {
        length: datasets.copying_memory(
            256, length, NUM_SYMBOLS, VOCABULARY, one_hot=True, seed=1_000_000
        )
        for length in lengths
    }
    # Up to the marker, the first of the remaining steps.
    found = {
        length: runner(x[:, : NUM_SYMBOLS + length - 1])[1:]
        for length, (x, _) in sequences.items()
    }
    rows = []
    for of_state in lengths:
        for of_memory in lengths:
            x, y = sequences[of_memory]
            state = [*found[of_state][:2], *found[of_memory][2:]]
            hidden = runner(x[:, -NUM_SYMBOLS - 1 :], initial_state=state)[0]
            logits = keras.ops.convert_to_numpy(model.layers[-1](hidden))
            right = logits.argmax(axis=-1)[:, 1:] == y[:, -NUM_SYMBOLS:]
            rows.append(
                {
                    "length_of_state": of_state,
                    "length_of_memory": of_memory,
                    "accuracy": float(right.mean()),
                }
            )
    return rows


def draw(arguments, reader):
    """Plots what the network reads in one sequence."""
    from keras_seqcredit import utils

    x, _ = datasets.copying_memory(
        1, arguments.length, NUM_SYMBOLS, VOCABULARY, one_hot=True, seed=0
    )
    slots, weights = reader.predict(x, verbose=0)
    path = arguments.logdir / "attention.png"
    utils.plot_attention(
        slots[0],
        weights[0],
        k_att=arguments.k_att,
        title=f"Recall after a gap of {arguments.length} steps",
        path=path,
    )
    return path


def main():
    """Trains, evaluates, and writes the result."""
    arguments = parse_arguments()
    model, trained = streams.run(
        arguments,
        lambda: build_model(arguments),
        lambda initial_epoch: Stream(
            arguments, arguments.steps_per_epoch, arguments.seed, initial_epoch
        ),
        views(arguments),
    )
    reader = nets.reader(model)
    if reader is not None:
        print(f"\nPicture: {draw(arguments, reader)}")

    evaluation = []
    print("\n| T | recalled | cross-entropy | weight on the true slots |")
    print("| ---: | ---: | ---: | ---: |")
    for length in sorted({arguments.length, *arguments.evaluate_lengths}):
        figures = evaluate(arguments, model, reader, length)
        evaluation.append(figures)
        share = figures.get("weight_on_true_segment")
        print(
            f"| {length} | {figures['accuracy']:.2%} "
            f"| {figures['cross_entropy']:.4f} "
            f"| {'' if share is None else f'{share:.2f}'} |",
            flush=True,
        )
    print(f"| chance | {1 / VOCABULARY:.2%} | {math.log(VOCABULARY):.4f} | |")
    exchanged = {}
    if arguments.exchange:
        exchanged["exchange"] = exchange(
            arguments, model, [10, 30, 60, arguments.length]
        )
    path = streams.write_result(
        arguments,
        "copying memory",
        {
            "num_symbols": NUM_SYMBOLS,
            "vocabulary": VOCABULARY,
            "chance": {
                "accuracy": 1 / VOCABULARY,
                "cross_entropy": math.log(VOCABULARY),
            },
            "steps_to_99_percent": streams.steps_to(
                0.99, trained["history"], arguments.steps_per_epoch
            ),
            "evaluation": evaluation,
            **exchanged,
        },
        trained,
    )
    print(f"\nResults: {path}")
    print(f"Logs:    tensorboard --logdir {arguments.logdir}")


if __name__ == "__main__":
    main()
