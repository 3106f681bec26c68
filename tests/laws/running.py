"""Ways to run what is in the table."""

import keras
import numpy as np
from keras import ops
from keras import tree

from keras_seqcredit import backend
from tests.gradients import FASTEST
from tests.gradients import value_gradients_and_more
from tests.laws.table import BATCH
from tests.laws.table import FEATURES
from tests.laws.table import TIME
from tests.laws.table import make_inputs

# How a step of training starts fastest.
QUICKLY = {"run_eagerly": FASTEST == "eager"}


def as_arrays(outputs):
    """A flat list of numpy arrays; half precision becomes float32."""
    return [
        ops.convert_to_numpy(ops.cast(x, "float32") if is_float(x) else x)
        for x in tree.flatten(outputs)
    ]


def is_float(x):
    return "float" in keras.backend.standardize_dtype(x.dtype)


def build(row, dtype=None):
    """As `build_noisy`, latents drawn without noise: calls can be compared."""
    return silenced(build_noisy(row, dtype))


def build_noisy(row, dtype=None):
    """A new object, its weights made and none of them zero by chance."""
    layer = row.create(dtype)
    layer.build((BATCH, TIME, FEATURES))
    random = np.random.default_rng(0)
    for variable in layer.trainable_variables:
        variable.assign(0.7 * random.normal(size=variable.shape))
    return layer


def silenced(layer):
    """The layer, its latents drawn without noise."""
    if hasattr(layer, "latents"):
        layer.latents.noise = lambda shape, seed: ops.zeros(
            (*shape, layer.latents.size)
        )
    return layer


def call(layer, inputs, **kwargs):
    """The outputs as `as_arrays`, in the way that is fastest to start."""
    if FASTEST == "eager":
        return as_arrays(layer(inputs, **kwargs))
    return as_arrays(backend.jit(lambda x: layer(x, **kwargs), layer)(inputs))


def gradients(layer, inputs, mode=FASTEST, cut=None, **kwargs):
    """Gradients of all float outputs and of the added losses.

    Args:
        cut: `cut(arrays)` picks what of the outputs counts.

    Returns:
        `(loss, gradients)`, of the inputs and then of the trainable weights.
    """
    return outputs_and_gradients(layer, inputs, mode, cut, **kwargs)[1:]


def outputs_and_gradients(layer, inputs, mode=FASTEST, cut=None, **kwargs):
    """What `gradients` returns, after the flat outputs, of one program."""
    variables = layer.trainable_variables

    def loss(arrays):
        inputs, *weights = arrays
        mapping = list(zip(variables, weights, strict=True))
        with keras.StatelessScope(mapping, collect_losses=True) as scope:
            outputs = tree.flatten(layer(inputs, **kwargs))
        counted = cut(outputs) if cut else outputs
        total = sum(ops.cast(loss, "float32") for loss in scope.losses)
        for number, output in enumerate(counted):
            if is_float(output):
                output = ops.cast(output, "float32")
                total = total + ops.sum(ops.sin(output + number))
        return total, outputs

    weights = [ops.convert_to_numpy(variable.value) for variable in variables]
    total, found, outputs = value_gradients_and_more(
        loss, [inputs, *weights], mode
    )
    return outputs, total, found


def model_with_head(row, dtype=None):
    """A functional model of one number per example or per step."""
    inputs = keras.Input((None, FEATURES))
    outputs = tree.flatten(row.create(dtype)(inputs))
    head = keras.layers.Dense(1, dtype="float32", name="head")
    return keras.Model(inputs, head(outputs[0]))


def fit_once(model, optimizer="adam", **compile_arguments):
    """One step of training toward 1; returns the loss."""
    model.compile(optimizer, "mse", **compile_arguments)
    # Else TensorFlow traces the step twice.
    model.optimizer.build(model.trainable_variables)
    inputs = make_inputs()
    targets = np.ones(np.shape(model(inputs)), "float32")
    history = model.fit(inputs, targets, batch_size=BATCH, verbose=0)
    return history.history["loss"][0]
