"""Convolutions in XLA's layout are the same convolutions."""

import re

import keras
import numpy as np
import pytest

from tests.on_one_backend import only_on

pytestmark = only_on("jax")

LAYERS = {
    "plain": (keras.layers.Conv2D(3, 2, padding="same"), (5, 4, 2)),
    "strided": (keras.layers.Conv2D(3, 3, strides=2), (7, 6, 2)),
    "dilated": (keras.layers.Conv2D(3, 2, dilation_rate=2), (5, 6, 2)),
    "grouped": (keras.layers.Conv2D(4, 2, groups=2), (4, 5, 6)),
    "depthwise": (
        keras.layers.DepthwiseConv2D(2, depth_multiplier=3),
        (4, 5, 2),
    ),
    "transposed": (keras.layers.Conv2DTranspose(3, 3, strides=2), (3, 4, 2)),
    "channels first": (
        keras.layers.Conv2D(3, 2, data_format="channels_first"),
        (2, 5, 4),
    ),
    "a sequence": (keras.layers.Conv1D(3, 2, padding="causal"), (5, 2)),
    "a volume": (keras.layers.Conv3D(3, 2), (3, 4, 5, 2)),
    "after an activation": (
        keras.Sequential([keras.layers.ReLU(), keras.layers.Conv2D(3, 2)]),
        (4, 5, 2),
    ),
}


def gradients_of(layer):
    """A function to gradients of all the layer is given, and its output."""
    import jax

    def loss(weights, x):
        y, _ = layer.stateless_call(weights, [], x)
        return jax.numpy.sum(y**3), y

    return jax.grad(loss, argnums=(0, 1), has_aux=True)


@pytest.mark.parametrize("name", LAYERS)
def test_outputs_and_gradients_are_the_same(name):
    import jax

    from keras_seqcredit.backend.canonical_convolutions import (
        canonical_convolutions,
    )

    layer, shape = LAYERS[name]
    layer.build((None, *shape))
    weights = [v.value for v in layer.trainable_variables]
    x = jax.numpy.asarray(
        np.random.default_rng(0).normal(size=(3, *shape)), "float32"
    )
    function = gradients_of(layer)
    expected = jax.jit(function)(weights, x)
    found = jax.jit(canonical_convolutions(function))(weights, x)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(
        jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
    ):
        assert np.abs(b).max() > 0
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_all_are_in_the_layout_of_the_library_inside_a_loop():
    import jax

    from keras_seqcredit.backend.canonical_convolutions import (
        canonical_convolutions,
    )

    layer = keras.layers.Conv2D(2, 3, padding="same")
    layer.build((None, 6, 6, 2))
    weights = [v.value for v in layer.trainable_variables]

    def layouts(change):
        def body(carry, _):
            gradients, _ = gradients_of(layer)(*carry)
            return gradients, None

        def loop(weights, x):
            return jax.lax.scan(change(body), (weights, x), None, length=3)

        x = jax.numpy.ones((4, 6, 6, 2))
        program = jax.jit(loop).lower(weights, x).as_text("hlo")
        return set(re.findall(r"dim_labels=(\S+?)[,\s]", program))

    # The gradients of the kernel and of the images are the others.
    assert len(layouts(lambda body: body)) == 3
    assert layouts(canonical_convolutions) == {"b01f_01io->b01f"}
