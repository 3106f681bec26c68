"""Times training on several devices of one host against one device.

The network is an `SABLSTM`; the total batch of all devices stays the same.
Devices are parts of the CPU, or the GPUs if there are any. On a CPU, more
devices than cores cannot speed up training, and the result is the cost of
sharing a batch. Configurations take turns in the same run, each in its own
process. A turn is one epoch of `fit`, timed from the end of its first step to
the end of its last. The time that TensorFlow takes afterwards to stop its input
pipeline can be as long again.

    KERAS_BACKEND=jax python -m examples.benchmarks.distribution

Prints a Markdown table and writes JSON to `--output`.
"""

import argparse
import contextlib
import os
import pathlib
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras  # noqa: E402
import numpy as np  # noqa: E402

from examples.benchmarks.measuring import summary  # noqa: E402
from examples.common import describe_machine  # noqa: E402
from examples.common import write_json  # noqa: E402
from keras_seqcredit import backend  # noqa: E402
from keras_seqcredit import layers  # noqa: E402

TENSORFLOW = keras.backend.backend() == "tensorflow"
ALONE = "no distribution"
COMPILER = "devices: 2, exchanges left to the compiler"
# A strategy's replicas run in threads. glibc gives each its own heap, which it
# returns to the system after a step, except for this many bytes.
KEPT = "MALLOC_TOP_PAD_=67108864"


def make_devices(number: int) -> list[str]:
    """Names of devices; call it before any computation."""
    if TENSORFLOW:
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        if gpus:
            return [f"GPU:{i}" for i in range(len(gpus))]
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * number,
        )
        return [f"CPU:{i}" for i in range(number)]
    import jax

    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", number)
    return keras.distribution.list_devices()


@contextlib.contextmanager
def shared_by(devices: list[str] | None):
    """Models made in the block train on `devices`."""
    if devices is None:
        yield
    elif TENSORFLOW:
        import tensorflow as tf

        with tf.distribute.MirroredStrategy(devices).scope():
            yield
    else:
        found = keras.distribution.DataParallel(devices=devices)
        keras.distribution.set_distribution(found)
        try:
            yield
        finally:
            keras.distribution.set_distribution(None)


@contextlib.contextmanager
def left_to_the_compiler():
    """JAX chooses what devices exchange, as without our `per_shard`."""
    module = backend.per_shard.__globals__
    per_shard = module["per_shard"]
    module["per_shard"] = lambda function, args, batch_axes: function(*args)
    try:
        yield
    finally:
        module["per_shard"] = per_shard


class StepClock(keras.callbacks.Callback):
    """Seconds per step of an epoch, without the first step."""

    def on_train_batch_end(self, batch, logs=None):
        if batch not in (0, self.params["steps"] - 1):
            return
        float(logs["loss"])  # JAX may not have computed it yet.
        if batch == 0:
            self._start = time.perf_counter()
        else:
            self.seconds = (time.perf_counter() - self._start) / batch


def make_epoch(way: str, settings: argparse.Namespace):
    """A function that trains for an epoch and times it, and its parameters."""
    number = settings.ways[way]
    devices = number and make_devices(number)[:number]
    rng = np.random.default_rng(0)
    examples = settings.steps * settings.batch_size
    x = rng.normal(size=(examples, settings.length, 10)).astype("float32")
    y = rng.integers(0, 10, examples)
    keras.utils.set_random_seed(0)
    with shared_by(devices):
        model = keras.Sequential(
            [
                keras.Input(x.shape[1:]),
                layers.SABLSTM(settings.units, k_top=5, k_trunc=5),
                keras.layers.Dense(10),
            ]
        )
        model.compile(
            "adam",
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
    around = left_to_the_compiler if way == COMPILER else contextlib.nullcontext

    def epoch():
        clock = StepClock()
        # On TensorFlow, the model already has its strategy.
        with around(), shared_by(None if TENSORFLOW else devices):
            model.fit(
                x,
                y,
                batch_size=settings.batch_size,
                verbose=0,
                callbacks=[clock],
            )
        return clock.seconds

    return epoch, model.count_params()


class Way:
    """A process that trains for an epoch on request.

    TensorFlow has one set of replicas per process, so each way has its own.
    """

    def __init__(self, name: str) -> None:
        command = [sys.executable, "-m", __spec__.name, *sys.argv[1:]]
        self._process = subprocess.Popen(
            [*command, "--way", name],
            env=os.environ | dict([KEPT.split("=")] if KEPT in name else []),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self) -> tuple[float, int]:
        """Seconds per step, and the number of parameters."""
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        seconds, parameters = self._process.stdout.readline().split()
        return float(seconds), int(parameters)

    def end(self) -> None:
        self._process.kill()


def serve(way: str, settings: argparse.Namespace) -> None:
    epoch, parameters = make_epoch(way, settings)
    for _ in sys.stdin:
        print(epoch(), parameters, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--devices", type=int, nargs="+", default=[1, 2, 4])
    add("--batch-size", type=int, default=64)
    add("--length", type=int, default=100)
    add("--units", type=int, default=128)
    add("--steps", type=int, default=20, help="per epoch, at least 2")
    add("--repeats", type=int, default=5)
    add("--output", default="runs/benchmarks")
    add("--way", help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.steps < 2:
        parser.error(f"--steps must be at least 2. Received: {settings.steps}")
    settings.ways = {ALONE: None}
    settings.ways |= {f"devices: {n}": n for n in settings.devices}
    if TENSORFLOW:
        settings.ways |= {
            f"{name}, {KEPT}": number for name, number in settings.ways.items()
        }
    else:
        settings.ways[COMPILER] = 2
    if settings.way:
        serve(settings.way, settings)
        return
    ways = {name: Way(name) for name in settings.ways}
    try:
        # Keras on JAX recompiles for what the first epoch returned.
        parameters = [[way()[1] for way in ways.values()] for _ in range(2)]
        turns = [
            {name: way()[0] for name, way in ways.items()}
            for _ in range(settings.repeats)
        ]
    finally:
        for way in ways.values():
            way.end()
    found = {name: summary([turn[name] for turn in turns]) for name in ways}
    print(table(found))
    name = f"benchmark_distribution_{keras.backend.backend()}.json"
    path = pathlib.Path(settings.output) / name
    write_json(
        path,
        {
            "machine": describe_machine(),
            "settings": {
                name: value
                for name, value in vars(settings).items()
                if name not in ("way", "ways", "output")
            },
            "parameters": parameters[0][0],
            "ways": found,
        },
    )
    print(path)


def table(found: dict) -> str:
    base = found[ALONE]["median"]
    lines = ["| | seconds per step | ratio |", "| --- | ---: | ---: |"]
    for name, values in found.items():
        lines.append(
            f"| {name} | {values['median']:.3f} ({values['least']:.3f} to "
            f"{values['most']:.3f}) | {values['median'] / base:.2f} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
