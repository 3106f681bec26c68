"""Values and gradients of a function, in each way a backend can run it."""

import contextlib

import keras
import numpy as np

BACKEND = keras.backend.backend()

# How a function may be run: op by op, in a graph, compiled.
MODES = ["graph", "jit"] if BACKEND == "tensorflow" else ["jit"]

# The way that is fastest to start, for a small function that runs once.
FASTEST = "eager" if BACKEND == "tensorflow" else "jit"


def value_and_gradients(function, arrays, mode):
    """`function(arrays) -> scalar`, its value and gradients, as numpy."""
    if BACKEND == "jax":
        import jax

        run = jax.value_and_grad(function)
        if mode == "jit":
            run = jax.jit(run)
        value, gradients = run([jax.numpy.asarray(a) for a in arrays])
    else:
        import tensorflow as tf

        def run(arrays):
            with tf.GradientTape() as tape:
                tape.watch(arrays)
                value = function(arrays)
            return value, tape.gradient(
                value, arrays, unconnected_gradients="zero"
            )

        if mode != "eager":
            run = tf.function(run, jit_compile=mode == "jit", autograph=False)
        value, gradients = run([tf.convert_to_tensor(a) for a in arrays])
    return float(value), [np.asarray(g) for g in gradients]


def double_precision():
    """A context in which float64 is what it says."""
    if BACKEND == "jax":
        import jax

        return jax.enable_x64(True)
    return contextlib.nullcontext()


def with_weights(layer, weights, function):
    """Calls `function()` with other values of the trainable weights."""
    mapping = list(zip(layer.trainable_variables, weights, strict=True))
    mapping += [(v, v.value) for v in layer.non_trainable_variables]
    with keras.StatelessScope(state_mapping=mapping):
        return function()
