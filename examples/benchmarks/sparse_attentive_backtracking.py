"""Times and measures `SABLSTM` against `keras.layers.LSTM`.

Every result is a median; compared networks take turns in the same run. A step
is a whole training step: forward, backward and Adam, on a batch of 64 sequences
of 10 features, 128 units, k_top 5, k_trunc 5.

    make benchmark BACKENDS=jax

Prints Markdown tables and writes JSON to `--output`.
"""

import argparse
import pathlib

from examples.benchmarks.measuring import peak_memory
from examples.benchmarks.measuring import report_peak
from examples.benchmarks.measuring import table
from examples.benchmarks.measuring import time_in_turns

BATCH, FEATURES, UNITS, CLASSES = 64, 10, 128, 10
# The recommended score first, then the ones it is compared with.
NETS = (
    "dot16",
    "dot32",
    "dot",
    "additive16",
    "additive",
    "dot16, k_att=10",
    "dot16, bfloat16",
    "concat",
    "k_top=0",
)


def parsed(net: str) -> dict:
    """Arguments of a layer: "dot16" has `attention_units=16`.

    "dot16, k_att=10" remembers every tenth state. "dot16, bfloat16" computes in
    half precision, and so do its keys and states.
    """
    score, *more = net.split(", ")
    attention = score.rstrip("0123456789")
    units = score.removeprefix(attention)
    found = {
        "attention": attention,
        "attention_units": int(units) if units else None,
    }
    for option in more:
        name, _, value = option.partition("=")
        found |= {name: int(value)} if value else {"dtype": f"mixed_{name}"}
    return found


def make_model(net: str, jit_compile=True):
    import keras

    from keras_seqcredit.layers import SABLSTM

    if net == "lstm":
        layer = keras.layers.LSTM(UNITS, return_sequences=True, use_cudnn=False)
    elif net == "cudnn":
        layer = keras.layers.LSTM(UNITS, return_sequences=True)
    elif net == "k_top=0":
        layer = SABLSTM(UNITS, k_top=0, k_trunc=5, return_sequences=True)
    else:
        layer = SABLSTM(
            UNITS, k_top=5, k_trunc=5, return_sequences=True, **parsed(net)
        )
    model = keras.Sequential(
        [
            keras.Input((None, FEATURES)),
            layer,
            keras.layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(1e-3, clipnorm=1.0),
        "sparse_categorical_crossentropy",
        jit_compile=jit_compile,
    )
    return model


def make_batch(length: int):
    import numpy as np

    random = np.random.default_rng(0)
    symbols = random.integers(0, FEATURES, (BATCH, length))
    return np.eye(FEATURES, dtype="float32")[symbols], symbols % CLASSES


def training_steps(nets, length, repeats, jit_compile=True) -> dict:
    x, y = make_batch(length)
    calls = {}
    for net in nets:
        name, jit = (net, jit_compile) if isinstance(net, str) else net
        model = make_model(name, jit)
        label = f"{name}, jit_compile={jit}" if jit is not True else name
        calls[label] = lambda model=model: float(model.train_on_batch(x, y))
    return time_in_turns(calls, repeats)


def eager_calls(nets, length, repeats) -> dict:
    """Seconds per call outside of compiled functions, as in a notebook."""
    import numpy as np

    x, _ = make_batch(length)
    calls = {}
    for net in nets:
        model = make_model(net)
        calls[net] = lambda model=model: np.array(model(x))
    return time_in_turns(calls, repeats)


def forward_steps(nets, lengths, repeats) -> dict:
    """Milliseconds per time step of the forward pass."""
    calls = {}
    for net in nets:
        model = make_model(net)
        for length in lengths:
            x, _ = make_batch(length)
            calls[net, length] = lambda model=model, x=x: (
                model.predict_on_batch(x)
            )
    found = time_in_turns(calls, repeats)
    return {
        f"{net}, T = {length}": 1000 * figures["median"] / length
        for (net, length), figures in found.items()
    }


def measure(net: str, length: int) -> None:
    """Runs in its own process; see `peak_memory`."""
    model = make_model(net)

    def step(length):
        x, y = make_batch(length)
        model.train_on_batch(x, y)

    report_peak(lambda: step(64), lambda: step(length))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--output", default="runs/benchmarks")
    parser.add_argument(
        "--sections",
        nargs="+",
        default=[
            "short",
            "release",
            "long",
            "default",
            "forward",
            "eager",
            "memory",
        ],
    )
    parser.add_argument(
        "--nets", nargs="+", default=NETS, help="for `short` and `long`"
    )
    parser.add_argument(
        "--yardstick", default="lstm", choices=("lstm", "cudnn")
    )
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure[0], int(arguments.measure[1]))
        return

    import keras

    from examples.common import describe_machine
    from examples.common import write_json

    backend = keras.backend.backend()
    first, repeats = arguments.yardstick, arguments.repeats
    result = {"machine": describe_machine()}
    if "short" in arguments.sections:
        nets = [first, *arguments.nets]
        result["T=220"] = training_steps(nets, 220, repeats)
        print(table("T = 220, under jit", result["T=220"], first))
    if "release" in arguments.sections:
        # The length at which the authors' code was timed.
        nets = [first, "concat", "additive"]
        result["T=200"] = training_steps(nets, 200, repeats)
        print(table("T = 200, under jit", result["T=200"], first))
    if "long" in arguments.sections:
        nets = [first, *arguments.nets]
        # Here, Keras' LSTM takes seconds per step on TensorFlow.
        few = 3 if backend == "tensorflow" else repeats
        result["T=1020"] = training_steps(nets, 1020, few)
        print(table("T = 1020, under jit", result["T=1020"], first))
    if "default" in arguments.sections and backend == "tensorflow":
        nets = [(net, jit) for net in (first, *NETS) for jit in (True, "auto")]
        result["default"] = training_steps(nets, 220, repeats)
        print(
            table(
                "T = 220, Keras' default against jit", result["default"], first
            )
        )
    if "forward" in arguments.sections:
        result["forward_ms_a_time_step"] = forward_steps(
            ["lstm", "concat", "dot", "additive"],
            (200, 1000),
            max(3, repeats // 2),
        )
        print("### Forward pass, milliseconds per time step\n")
        for name, value in result["forward_ms_a_time_step"].items():
            print(f"- {name}: {value:.3f}")
        print()
    if "eager" in arguments.sections:
        nets = [first, "dot16", "dot", "k_top=0"]
        result["eager"] = eager_calls(nets, 220, repeats)
        print(table("T = 220, eager calls", result["eager"], first))
    if "memory" in arguments.sections:
        result["memory"] = {}
        print("### Peak memory of the process, concat and additive\n")
        print("| net, T | peak MB | before MB | seconds per step |")
        print("| --- | ---: | ---: | ---: |")
        cases = [("concat", t) for t in (500, 1000, 2000, 5000)]
        for net, length in [*cases, ("additive", 1000), ("additive", 2000)]:
            found = peak_memory(__spec__.name, net, length)
            result["memory"][f"{net}, T={length}"] = found
            print(
                f"| {net}, {length} | {found['peak_mb']:.0f} "
                f"| {found['idle_mb']:.0f} | {found['step_seconds']:.2f} |"
            )
    path = pathlib.Path(arguments.output) / f"sab_{backend}.json"
    write_json(path, result)
    print(f"\n{path}")


if __name__ == "__main__":
    main()
