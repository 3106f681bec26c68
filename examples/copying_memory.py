"""Recalls symbols after a long gap: the copying memory problem.

Trains `SABLSTM` with the gradient cut every few steps, on fresh sequences
without end, and measures on others how many of the symbols it recalls, after
the gap it was trained on and after longer ones.

```bash
python examples/copying_memory.py --length 30
python examples/copying_memory.py --length 30 --net truncated
```

The second line trains the same net without attention, which is a plain LSTM
under truncated back-propagation; `full` is a plain LSTM under full
back-propagation, and `self-attention` that LSTM with causal attention to all
its past states, from Keras' own layers.

With `--decay-epochs` the learning rate falls to 0 along a cosine: at a constant
one, a net that has learned to recall after 100 steps may lose it again.

A run that was interrupted goes on where it stopped when the same command is
given again, and a finished one does with more `--epochs`. `--logdir` gets logs
and attention maps for TensorBoard, the figures of each epoch, the trained
model, and `result.json`.

References:
    - Ke et al., "Sparse Attentive Backtracking: Temporal Credit Assignment
      Through Reminding", NeurIPS 2018, arXiv:1809.03702.
"""

import argparse
import csv
import math
import pathlib
import statistics
import time

import common

common.select_backend()

import keras  # noqa: E402

from keras_seqcredit import callbacks  # noqa: E402
from keras_seqcredit import datasets  # noqa: E402
from keras_seqcredit import layers  # noqa: E402

NETS = ("sab", "truncated", "full", "self-attention")
NUM_SYMBOLS = 10
VOCABULARY = 8
# What may change between an interrupted run and the one that goes on with it.
FREE_SETTINGS = ("epochs", "evaluate_lengths", "evaluate_sequences")


def positive(text):
    """Reads a positive integer."""
    if int(text) < 1:
        raise ValueError
    return int(text)


positive.__name__ = "positive integer"  # For the messages of argparse.


def parse_arguments(argv=None):
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--length", type=positive, default=30, help="steps of the gap, T")
    add(
        "--k-trunc",
        type=positive,
        default=5,
        help="steps between gradient cuts",
    )
    add("--k-top", type=int, default=5, help="states that a step reads")
    add(
        "--k-att",
        type=positive,
        default=1,
        help="every k-th state is remembered",
    )
    add(
        "--attention",
        choices=("additive", "dot", "concat"),
        default="additive",
        help="score of a remembered state",
    )
    add(
        "--memory-content",
        choices=("state", "provisional"),
        default="provisional",
        help="whether states are remembered after or before attention",
    )
    add(
        "--net",
        choices=NETS,
        default="sab",
        help="the net, or one to compare it with",
    )
    add("--units", type=positive, default=64, help="units of the LSTM")
    add("--batch-size", type=positive, default=64, help="sequences a step")
    add("--learning-rate", type=float, default=2e-3, help="of Adam")
    add("--steps-per-epoch", type=positive, default=200, help="training steps")
    add("--epochs", type=positive, default=20, help="epochs in all")
    add(
        "--decay-epochs",
        type=positive,
        help="epochs after which the learning rate is 0; without, it stays",
    )
    add("--seed", type=int, default=0, help="of weights and data")
    add(
        "--evaluate-lengths",
        type=positive,
        nargs="*",
        default=[],
        help="gaps to evaluate on, besides the one of training",
    )
    add(
        "--evaluate-sequences",
        type=positive,
        default=2048,
        help="fresh sequences to evaluate on, for each gap",
    )
    add(
        "--jit",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="compile the whole training step with XLA",
    )
    add(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on with an interrupted run",
    )
    add(
        "--logdir",
        type=pathlib.Path,
        help="folder for logs and results (default: one for each run, in "
        "logs/copying_memory)",
    )
    common.add_backend_argument(parser)
    arguments = parser.parse_args(argv)
    for name in ("k_top", "seed", "learning_rate"):
        if getattr(arguments, name) < 0:
            flag = name.replace("_", "-")
            parser.error(f"argument --{flag}: expected no negative number")
    if arguments.net == "truncated":
        arguments.k_top = 0
    if arguments.logdir is None:
        arguments.logdir = pathlib.Path(
            "logs/copying_memory",
            f"{arguments.net}-length{arguments.length}-trunc{arguments.k_trunc}"
            f"-seed{arguments.seed}",
        )
    return arguments


def build_model(arguments):
    """Makes a net of one recurrent layer with a softmax on every step."""
    inputs = keras.Input((None, VOCABULARY + 2))
    if arguments.net in ("sab", "truncated"):
        states = layers.SABLSTM(
            arguments.units,
            k_top=arguments.k_top,
            k_att=arguments.k_att,
            k_trunc=arguments.k_trunc,
            attention=arguments.attention,
            memory_content=arguments.memory_content,
            return_sequences=True,
            name="sab",
        )(inputs)
    else:
        states = keras.layers.LSTM(
            arguments.units, return_sequences=True, use_cudnn=False
        )(inputs)
    if arguments.net == "self-attention":
        found = keras.layers.MultiHeadAttention(1, arguments.units)(
            states, states, use_causal_mask=True
        )
        states = keras.layers.Concatenate()([states, found])
    outputs = keras.layers.Dense(VOCABULARY + 1, activation="softmax")(states)
    model = keras.Model(inputs, outputs)
    rate = arguments.learning_rate
    if arguments.decay_epochs:
        rate = keras.optimizers.schedules.CosineDecay(
            rate, arguments.decay_epochs * arguments.steps_per_epoch
        )
    model.compile(
        keras.optimizers.Adam(rate, global_clipnorm=1.0),
        "sparse_categorical_crossentropy",
        metrics=[recall_accuracy, recall_cross_entropy],
        jit_compile=arguments.jit,
    )
    return model


# The steps before the recall are blank, and count in the loss alone.
def recall_accuracy(y_true, y_pred):
    """Tells which of the symbols are recalled."""
    return keras.metrics.sparse_categorical_accuracy(
        y_true[:, -NUM_SYMBOLS:], y_pred[:, -NUM_SYMBOLS:]
    )


def recall_cross_entropy(y_true, y_pred):
    """Measures the cross-entropy of each symbol that is to be recalled."""
    return keras.losses.sparse_categorical_crossentropy(
        y_true[:, -NUM_SYMBOLS:], y_pred[:, -NUM_SYMBOLS:]
    )


class StepTime(keras.callbacks.Callback):
    """Adds `seconds_per_step` to the figures of an epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()
        self.steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps = batch + 1

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self.start
        logs["seconds_per_step"] = seconds / max(self.steps, 1)


def train(arguments, model):
    """Trains, and returns the figures of all epochs, those before included."""
    backup = keras.callbacks.BackupAndRestore(
        str(arguments.logdir / "backup"),
        double_checkpoint=True,
        delete_checkpoint=False,
    )
    # `fit` restores too, but the stream must know the epoch before.
    backup.set_model(model)
    backup.on_train_begin()
    initial_epoch = int(model.optimizer.iterations) // arguments.steps_per_epoch
    if initial_epoch:
        print(f"Going on after epoch {initial_epoch}.")
    history = arguments.logdir / "history.csv"
    if initial_epoch < arguments.epochs:
        model.fit(
            datasets.copying_memory_stream(
                arguments.batch_size,
                arguments.length,
                NUM_SYMBOLS,
                VOCABULARY,
                one_hot=True,
                batches_per_epoch=arguments.steps_per_epoch,
                seed=arguments.seed,
                initial_epoch=initial_epoch,
            ),
            initial_epoch=initial_epoch,
            epochs=arguments.epochs,
            shuffle=False,
            callbacks=[
                keras.callbacks.TerminateOnNaN(raise_error=True),
                StepTime(),
                keras.callbacks.CSVLogger(
                    str(history), append=initial_epoch > 0
                ),
                *common.tensorboard(arguments.logdir),
                *attention_maps(arguments),
                backup,
            ],
        )
    return initial_epoch, read_history(history)


def attention_maps(arguments):
    """Returns the callback that draws what the net reads, if it attends."""
    if arguments.net != "sab":
        return []
    x, _ = datasets.copying_memory(
        1, arguments.length, NUM_SYMBOLS, VOCABULARY, one_hot=True, seed=0
    )
    return [callbacks.AttentionMap(x, arguments.logdir, frequency=5)]


def read_history(path):
    """Reads the figures of each epoch, the last of those logged twice."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = {
            row["epoch"]: {
                name: float(value)
                for name, value in row.items()
                if not name.startswith("val_")
            }
            for row in csv.DictReader(file)
        }
    return list(rows.values())


def evaluate(arguments, model, length):
    """Measures the model on sequences that training has not drawn."""
    batches = math.ceil(arguments.evaluate_sequences / arguments.batch_size)
    figures = model.evaluate(
        datasets.copying_memory_stream(
            arguments.batch_size,
            length,
            NUM_SYMBOLS,
            VOCABULARY,
            one_hot=True,
            batches_per_epoch=batches,
            seed=arguments.seed + 1_000_000,
        ),
        return_dict=True,
        verbose=0,
    )
    return {
        "length": length,
        "sequences": batches * arguments.batch_size,
        "accuracy": figures["recall_accuracy"],
        "cross_entropy": figures["recall_cross_entropy"],
        "loss_on_all_steps": figures["loss"],
    }


def main():
    """Trains, evaluates, and writes the result."""
    arguments = parse_arguments()
    settings = {
        name: value
        for name, value in vars(arguments).items()
        if name not in ("logdir", "resume")
    }
    common.check_settings(
        arguments.logdir, settings, arguments.resume, FREE_SETTINGS
    )
    keras.utils.set_random_seed(arguments.seed)
    model = build_model(arguments)
    initial_epoch, history = train(arguments, model)
    model.save(arguments.logdir / "model.keras")

    lengths = dict.fromkeys([arguments.length, *arguments.evaluate_lengths])
    evaluation = []
    print(f"\n{'length':>8} {'accuracy':>10} {'cross-entropy':>14}")
    for length in lengths:
        figures = evaluate(arguments, model, length)
        evaluation.append(figures)
        print(
            f"{length:>8} {figures['accuracy']:>10.4f} "
            f"{figures['cross_entropy']:>14.4f}",
            flush=True,
        )
    print(
        f"  chance {1 / VOCABULARY:>10.4f} {math.log(VOCABULARY):>14.4f}",
    )
    path = arguments.logdir / "result.json"
    # The first epoch holds the compilation.
    times = [row["seconds_per_step"] for row in history]
    common.write_json(
        path,
        {
            "task": "copying memory",
            "settings": settings,
            "optimizer": "Adam, gradient norm clipped at 1",
            "num_symbols": NUM_SYMBOLS,
            "vocabulary": VOCABULARY,
            "parameters": model.count_params(),
            "initial_epoch": initial_epoch,
            "steps": int(model.optimizer.iterations),
            "seconds_per_step": statistics.median(times[1:] or times),
            "chance": {
                "accuracy": 1 / VOCABULARY,
                "cross_entropy": math.log(VOCABULARY),
            },
            "evaluation": evaluation,
            "history": history,
            "machine": common.describe_machine(),
        },
    )
    print(f"\nWritten to {path}")


if __name__ == "__main__":
    main()
