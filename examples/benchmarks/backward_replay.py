"""What it costs to send credit to an event at the start of a sequence.

Full back-propagation passes through every step between the last one and the
event. Truncated back-propagation does not get there. Sparse attention gets
there by one hop. For each network and length: the fewest steps that a gradient
passes through on its way from the last output to an event at step 3, the number
of steps that it reaches at all, the time of a training step and the peak memory
of the process that trains.

    python -m examples.benchmarks.backward_replay

Steps are counted in the gradient of the last output by each input, which is 0
at a step that no path leads to. The event is an input ten times as large as the
others; a network with attention is drawn anew until its last step reads the
state right after it, which training brings about and chance alone seldom does.
Prints a table in Markdown and writes JSON to `--output`.
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
DRAWS = 200


def make_layer(net: str, **arguments):
    import keras

    from keras_seqcredit.layers import SABLSTM

    if net == "full":
        return keras.layers.LSTM(UNITS, use_cudnn=False, **arguments)
    return SABLSTM(
        UNITS,
        k_top=K_TOP if net == "sab" else 0,
        k_trunc=K_TRUNC,
        **arguments,
    )


def make_sequence(length: int):
    import numpy as np

    random = np.random.default_rng(0)
    x = random.normal(size=(1, length, FEATURES)).astype("float32")
    x[:, EVENT] *= 10
    return x


def layer_that_reads_the_event(net: str, x):
    """A layer of random weights; and the step whose state it reads, if any."""
    import keras
    import numpy as np

    if net != "sab":
        keras.utils.set_random_seed(0)
        return make_layer(net), None
    for seed in range(DRAWS):
        keras.utils.set_random_seed(seed)
        layer = make_layer(net, return_attention=True)
        _, slots, _ = layer(x)
        read = np.asarray(slots)[0, -1] - 1
        # In the segment of the event, and not before it.
        end = (EVENT // K_TRUNC + 1) * K_TRUNC
        reached = [int(step) for step in read if EVENT <= step < end]
        if reached:
            return layer, min(reached)
    raise RuntimeError(f"None of {DRAWS} networks reads the event")


def paths(net: str, length: int) -> dict:
    """How the gradient of the last output gets to the event."""
    import numpy as np
    from keras import ops

    from keras_seqcredit import backend

    x = make_sequence(length)
    layer, read = layer_that_reads_the_event(net, x)

    def last_output(x):
        output = layer(x)
        output = output[0] if isinstance(output, (list, tuple)) else output
        return ops.sum(ops.sin(output))

    value, pullback = backend.vjp(last_output, ops.convert_to_tensor(x))
    (gradient,) = pullback(ops.ones_like(value))
    sizes = np.abs(ops.convert_to_numpy(gradient)).max(axis=(0, 2))
    steps = None
    if net == "full":
        steps = length - 1 - EVENT
    elif net == "sab":
        # A hop, and the cell's steps from the state that was read.
        steps = 1 + read - EVENT
    return {
        "steps_to_event": steps,
        "gradient_at_event": float(sizes[EVENT]),
        "steps_reached": int((sizes > 0).sum()),
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
    """Runs in a process of its own, see `peak_memory`."""
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
        "| T | network | steps to the event | steps reached | seconds a step "
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
