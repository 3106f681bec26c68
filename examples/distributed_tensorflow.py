r"""Trains on all GPUs of one host, with TensorFlow's `MirroredStrategy`.

Each device holds a copy of the network and a shard of each batch; gradients are
summed after each step. Without a GPU, the CPU acts as `--devices` devices, to
try it. Run the same command again to resume a killed run.

    python examples/distributed_tensorflow.py
    MALLOC_TOP_PAD_=67108864 \
        python examples/distributed_tensorflow.py --devices 2

The variable saves time on CPUs; GPUs do not need it.
"""

import argparse

from common import add_backend_argument
from common import select_backend

if select_backend() != "tensorflow":
    raise SystemExit(
        "MirroredStrategy is TensorFlow's. Expected --backend tensorflow, or "
        "distributed_jax.py instead. Received: another backend"
    )

import data_parallel  # noqa: E402
import tensorflow as tf  # noqa: E402


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_backend_argument(parser)
    parser.add_argument(
        "--devices",
        type=int,
        help="how many (default: all GPUs, or 2 parts of the CPU)",
    )
    data_parallel.add_arguments(parser, "runs/distributed_tensorflow")
    return parser.parse_args()


def device_names(number: int | None) -> list[str]:
    """The devices to train on."""
    gpus = len(tf.config.list_physical_devices("GPU"))
    if gpus:
        kind, found = "GPU", gpus
    else:
        kind, found = "CPU", number or 2
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * found,
        )
    number = number or found
    if not 1 <= number <= found:
        raise SystemExit(
            f"Expected --devices of 1 to {found}, the GPUs of this host. "
            f"Received: {number}"
        )
    return [f"{kind}:{i}" for i in range(number)]


def main() -> None:
    arguments = parse_arguments()
    strategy = tf.distribute.MirroredStrategy(device_names(arguments.devices))

    def make():
        with strategy.scope():
            return data_parallel.make_model((64, 1), arguments)

    data_parallel.train(make, arguments, strategy.num_replicas_in_sync)


if __name__ == "__main__":
    main()
