"""Measures the cost of sending credit to the start of a sequence.

Full back-propagation passes through every step between the last one and the
event. Truncated back-propagation does not reach the event. Sparse attention
reaches it in one hop. For each network and length, reports the fewest steps
that a gradient passes through from the last output to an event at step 3, the
number of steps that it reaches at all, the time of a training step and the peak
memory of the training process.

    python -m examples.benchmarks.backward_replay

The steps are derived from the network's reads and the cuts of its gradient.
Then the gradient of the last output with respect to each input is computed: it
must be nonzero at exactly these steps, or the program stops. For this, the
forget gates are set to hold a state for the whole sequence; with Keras' initial
gates, the gradient over a thousand steps underflows to 0. The event is an input
ten times as large as the others. Sequences, and networks with attention, are
drawn until the last step reads a state between the event and the next cut,
which training achieves but chance rarely does.

Prints a Markdown table and writes JSON to `--output`.
"""

import argparse
import pathlib

from examples.benchmarks.measuring import peak_memory
from examples.benchmarks.measuring import report_peak
from examples.benchmarks.measuring import time_in_turns

BATCH, FEATURES, UNITS, CLASSES = 32, 10, 64, 10
K_TOP, K_TRUNC = 5, 5
EVENT = 3
NETS = ("sab", "truncated", "full")
DRAWS = 50


def make_layer(net: str, **arguments):
    import keras

    from keras_seqcredit.layers import SABLSTM

    if net == "full":
        return keras.layers.LSTM(UNITS, use_cudnn=False, **arguments)
    return SABLSTM(
        UNITS,
        **{"k_top": K_TOP if net == "sab" else 0, **arguments},
        k_trunc=K_TRUNC,
        attention="dot",
        memory_content="provisional",
        read_into="output",
    )


def make_sequences(length: int):
    import numpy as np

    random = np.random.default_rng(0)
    x = random.normal(size=(BATCH, length, FEATURES)).astype("float32")
    x[:, EVENT] *= 10
    return x


def steps_back(length: int, k_trunc: int | None, read=()) -> dict[int, int]:
    """Fewest steps from the last output back to each input it depends on.

    A hop to a state counts as one, as does each step of the cell; a cut ends
    the path. States remembered before attention contain no earlier hop.

    Args:
        length: Steps of the sequence.
        k_trunc: Steps between cuts, or None.
        read: Steps whose states the last step reads.
    """
    found: dict[int, int] = {}
    for start, steps in [(length - 1, 0), *((step, 1) for step in read)]:
        first = start // k_trunc * k_trunc if k_trunc else 0
        for step in range(first, start + 1):
            count = steps + start - step
            found[step] = min(count, found.get(step, count))
    return found


def draw_layer(net: str, x, seed: int, **arguments):
    """A layer with random weights that holds a state for the whole sequence."""
    import keras
    import numpy as np
    from keras import ops

    keras.utils.set_random_seed(seed)
    layer = make_layer(net, **arguments)
    layer.build(x.shape)
    bias = np.array(ops.convert_to_numpy(layer.cell.bias))
    bias[UNITS : 2 * UNITS] = np.log(x.shape[1])
    layer.cell.bias.assign(bias)
    return layer


def reader_of_the_event(sequences):
    """A layer with attention, a sequence, and the steps that its end reads.

    These include the best state that is not read: its score is subtracted
    from the others', so it gets a gradient.
    """
    import numpy as np

    length = sequences.shape[1]
    for seed in range(DRAWS):
        wider = draw_layer(
            "sab", sequences, seed, k_top=K_TOP + 1, return_attention=True
        )
        _, slots, _ = wider(sequences)
        for x, last in zip(sequences, np.asarray(slots)[:, -1], strict=True):
            # Slot 0 is the initial state, and -1 is none.
            read = [slot - 1 for slot in last.tolist()]
            if EVENT in steps_back(length, K_TRUNC, _states(read[:K_TOP])):
                layer = draw_layer("sab", sequences, seed)
                layer.set_weights(wider.get_weights())
                return layer, x[None], _states(read)
    raise RuntimeError(f"None of {DRAWS} networks reads the event")


def _states(steps: list[int]) -> list[int]:
    return [step for step in steps if step >= 0]


def paths(net: str, length: int) -> dict:
    """How the gradient of the last output reaches the event."""
    import numpy as np
    from keras import ops

    from keras_seqcredit import backend

    x, read = make_sequences(length), []
    if net == "sab":
        layer, x, read = reader_of_the_event(x)
    else:
        layer, x = draw_layer(net, x, seed=0), x[:1]
    counted = steps_back(length, None if net == "full" else K_TRUNC, read)

    value, pullback = backend.vjp(
        lambda x: ops.sum(ops.sin(layer(x))), ops.convert_to_tensor(x)
    )
    (gradient,) = pullback(ops.ones_like(value))
    sizes = np.abs(ops.convert_to_numpy(gradient)).max(axis=(0, 2))
    reached = np.flatnonzero(sizes).tolist()
    if reached != sorted(counted):
        raise RuntimeError(
            f"Expected a gradient at the steps {sorted(counted)}. "
            f"Received: one at {reached}"
        )
    return {
        "steps_to_event": counted.get(EVENT),
        "gradient_at_event": float(sizes[EVENT]),
        "steps_reached": len(reached),
    }


def make_model(net: str):
    import keras

    model = keras.Sequential(
        [
            keras.Input((None, FEATURES)),
            make_layer(net, return_sequences=True),
            keras.layers.Dense(CLASSES),
        ]
    )
    model.compile(
        keras.optimizers.Adam(1e-3, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=True,
    )
    return model


def make_batch(length: int):
    import numpy as np

    random = np.random.default_rng(0)
    symbols = random.integers(0, FEATURES, (BATCH, length))
    return np.eye(FEATURES, dtype="float32")[symbols], symbols % CLASSES


def training_steps(length: int, repeats: int) -> dict:
    x, y = make_batch(length)
    calls = {}
    for net in NETS:
        model = make_model(net)
        calls[net] = lambda model=model: float(model.train_on_batch(x, y))
    return time_in_turns(calls, repeats)


def measure(net: str, length: int) -> None:
    """Runs in its own process; see `peak_memory`."""
    model = make_model(net)

    def step(length):
        x, y = make_batch(length)
        model.train_on_batch(x, y)

    report_peak(lambda: step(64), lambda: step(length))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument(
        "--lengths", type=int, nargs="+", default=[300, 1000, 3000]
    )
    parser.add_argument("--output", default="runs/benchmarks")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure[0], int(arguments.measure[1]))
        return

    import keras

    from examples.common import describe_machine
    from examples.common import write_json

    rows = []
    print(
        "| T | network | steps to the event | steps reached | seconds per step "
        "| peak MB | before MB |\n| ---: | --- | ---: | ---: | ---: | ---: "
        "| ---: |"
    )
    for length in arguments.lengths:
        seconds = training_steps(length, arguments.repeats)
        for net in NETS:
            row = {
                "length": length,
                "net": net,
                **paths(net, length),
                "step_seconds": seconds[net],
                "memory": peak_memory(__spec__.name, net, length),
            }
            rows.append(row)
            steps = row["steps_to_event"]
            print(
                f"| {length} | {net} | {'none' if steps is None else steps} "
                f"| {row['steps_reached']} "
                f"| {row['step_seconds']['median']:.3f} "
                f"| {row['memory']['peak_mb']:.0f} "
                f"| {row['memory']['idle_mb']:.0f} |",
                flush=True,
            )
    path = (
        pathlib.Path(arguments.output)
        / f"backward_replay_{keras.backend.backend()}.json"
    )
    write_json(path, {"rows": rows, "machine": describe_machine()})
    print(f"\n{path}")


if __name__ == "__main__":
    main()
