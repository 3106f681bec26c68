"""A training step traced by TensorFlow and run on a GPU through JAX.

    python -m examples.benchmarks.tensorflow_program FOLDER

writes the loss and the gradients of an `SABLSTM` as HLO for a GPU, with its
inputs and its values on this machine's CPU. This needs TensorFlow, but no GPU.
`run` needs JAX, but no TensorFlow.
"""

import argparse
import pathlib
import time

import numpy as np

PROGRAM, VALUES = "tensorflow_step.hlo", "tensorflow_step.npz"


def write(folder: pathlib.Path, length: int = 220, units: int = 128) -> None:
    """Traces the program and computes its values.

    Args:
        folder: where it is written.
        length: time steps.
        units: units of the layer.
    """
    import os

    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import tensorflow as tf

    from examples.benchmarks import sparse_attentive_backtracking as sab
    from keras_seqcredit.layers import SABLSTM

    keras.utils.set_random_seed(0)
    x, y = sab.make_batch(length)
    layer = SABLSTM(units, k_top=5, k_trunc=5, return_sequences=True)
    head = keras.layers.Dense(sab.CLASSES)
    head(layer(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    variables = layer.trainable_variables + head.trainable_variables

    @tf.function(jit_compile=True)
    def step(x, y, *weights):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            with keras.StatelessScope(
                list(zip(variables, weights, strict=True))
            ):
                value = loss(y, head(layer(x)))
        return [value, *tape.gradient(value, weights)]

    inputs = [x, y.astype("int32"), *(v.numpy() for v in variables)]
    tensors = [tf.constant(value) for value in inputs]
    program = step.experimental_get_compiler_ir(*tensors)(
        stage="hlo_serialized", platform_name="GPU"
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PROGRAM).write_bytes(program)
    found = {f"input_{i}": value for i, value in enumerate(inputs)}
    for i, value in enumerate(step(*tensors)):
        found[f"output_{i}"] = np.array(value)
    np.savez_compressed(folder / VALUES, **found)


def run(folder: pathlib.Path, repeats: int) -> dict:
    """Compiles what `write` wrote for this device, checks it and times it.

    Args:
        folder: where it was written.
        repeats: calls per median.

    Returns:
        Median seconds, and the largest error of each output as a share of its
        largest value.

    Raises:
        FileNotFoundError: if nothing was written there.
    """
    import jax
    from jax.extend.backend import get_backend
    from jax.extend.backend import get_compile_options
    from jax.extend.mlir import hlo_to_stablehlo

    # Not StableHLO from TensorFlow: the versions may differ.
    program = hlo_to_stablehlo((folder / PROGRAM).read_bytes())
    arrays = np.load(folder / VALUES)

    def numbered(kind):
        count = sum(name.startswith(kind) for name in arrays)
        return [arrays[f"{kind}_{i}"] for i in range(count)]

    device = jax.devices()[0]
    inputs = [jax.device_put(x, device) for x in numbered("input")]
    options = get_compile_options(num_replicas=1, num_partitions=1)
    compiled = get_backend().compile_and_load(program, [device], options)

    def call():
        outputs = compiled.execute_sharded(inputs)
        return [x[0] for x in outputs.disassemble_into_single_device_arrays()]

    errors = []
    for found, expected in zip(call(), numbered("output"), strict=True):
        error = np.abs(np.asarray(found) - expected).max()
        errors.append(float(error / np.abs(expected).max()))
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - start)
    return {"median": float(np.median(seconds)), "errors": errors}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--length", type=int, default=220)
    parser.add_argument("--units", type=int, default=128)
    arguments = parser.parse_args()
    write(arguments.folder, arguments.length, arguments.units)


if __name__ == "__main__":
    main()
