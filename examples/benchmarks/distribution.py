"""Times training on several devices of one host, against one device.

The net is an `SABLSTM`, the batch of all devices together the same. Devices are
parts of the processor, or the GPUs if there are some: on a processor, more
devices than cores cannot make it faster, and what is seen is what sharing a
batch costs. Ways take turns in the same run; a turn is `fit` over an epoch.

    KERAS_BACKEND=jax python -m examples.benchmarks.distribution

Prints a table in Markdown and writes JSON to `--output`.
"""

import argparse
import contextlib
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras  # noqa: E402
import numpy as np  # noqa: E402

from examples.benchmarks.measuring import table  # noqa: E402
from examples.benchmarks.measuring import time_in_turns  # noqa: E402
from examples.common import describe_machine  # noqa: E402
from examples.common import write_json  # noqa: E402
from keras_seqcredit import backend  # noqa: E402
from keras_seqcredit import layers  # noqa: E402

TENSORFLOW = keras.backend.backend() == "tensorflow"
ALONE = "no distribution"


def make_devices(number: int) -> list[str]:
    """Names of devices; to be called before anything is computed."""
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
    """JAX chooses what devices exchange, as it would without our `on_rows`."""
    module = backend.on_rows.__globals__
    on_rows = module["on_rows"]
    module["on_rows"] = lambda function, args, batch_axes: function(*args)
    try:
        yield
    finally:
        module["on_rows"] = on_rows


def make_epoch(devices, settings, around=contextlib.nullcontext):
    """A function that trains for an epoch."""
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

    def epoch():
        # TensorFlow's strategy is that of the model from now on.
        with around(), shared_by(None if TENSORFLOW else devices):
            model.fit(x, y, batch_size=settings.batch_size, verbose=0)

    return epoch, model.count_params()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--devices", type=int, nargs="+", default=[1, 2, 4])
    add("--batch-size", type=int, default=64)
    add("--length", type=int, default=100)
    add("--units", type=int, default=128)
    add("--steps", type=int, default=10, help="of an epoch")
    add("--repeats", type=int, default=7)
    add("--output", default="runs/benchmarks")
    settings = parser.parse_args()
    devices = make_devices(max(settings.devices))
    epochs = {ALONE: make_epoch(None, settings)}
    for number in settings.devices:
        epochs[f"devices: {number}"] = make_epoch(devices[:number], settings)
    if not TENSORFLOW and 2 in settings.devices:
        epochs["devices: 2, exchanges left to the compiler"] = make_epoch(
            devices[:2], settings, left_to_the_compiler
        )
    found = time_in_turns(
        {name: epoch for name, (epoch, _) in epochs.items()}, settings.repeats
    )
    for values in found.values():
        for name in ("median", "least", "most"):
            values[name] /= settings.steps
    print(table("Devices that share a batch", found, ALONE))
    name = f"benchmark_distribution_{keras.backend.backend()}.json"
    path = pathlib.Path(settings.output) / name
    write_json(
        path,
        {
            "machine": describe_machine(),
            "settings": vars(settings),
            "parameters": epochs[ALONE][1],
            "ways": found,
        },
    )
    print(path)


if __name__ == "__main__":
    main()
