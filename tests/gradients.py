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
    value, gradients, _ = value_gradients_and_more(
        lambda arrays: (function(arrays), ()), arrays, mode
    )
    return value, gradients


def value_gradients_and_more(function, arrays, mode):
    """The same of `function(arrays) -> (scalar, more)`, and `more`."""
    if BACKEND == "jax":
        import jax

        run = jax.value_and_grad(function, has_aux=True)
        if mode == "jit":
            run = jax.jit(run)
        (value, more), gradients = run([jax.numpy.asarray(a) for a in arrays])
    else:
        import tensorflow as tf

        def run(arrays):
            with tf.GradientTape() as tape:
                tape.watch(arrays)
                value, more = function(arrays)
            gradients = tape.gradient(
                value, arrays, unconnected_gradients="zero"
            )
            # Of a gather it is a tf.IndexedSlices.
            return value, more, [*map(tf.convert_to_tensor, gradients)]

        if mode != "eager":
            run = tf.function(run, jit_compile=mode == "jit", autograph=False)
        value, more, gradients = run([tf.convert_to_tensor(a) for a in arrays])
    return float(value), [np.asarray(g) for g in gradients], more


def compiled(function):
    """`function(arrays) -> scalar`, to be called often."""
    if BACKEND == "jax":
        import jax

        return jax.jit(function)
    return function


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
