"""Outside of compiled functions, JAX compiles a loop once, not at each call."""

import keras
import numpy as np
import pytest

from keras_seqcredit import backend
from keras_seqcredit import layers
from keras_seqcredit import models

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="TensorFlow does not compile here"
)

TIME, FEATURES = 6, 3


def x(batch=2, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(batch, TIME, FEATURES)).astype("float32")


@pytest.fixture
def programs():
    """A list that gets an entry for each program that XLA compiles."""
    import jax

    found = []
    event = "/jax/core/compile/backend_compile_duration"

    def listen(name, duration, **_):
        if name == event:
            found.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield found
    jax.monitoring.unregister_event_duration_listener(listen)


def sab():
    return layers.SABLSTM(4, k_top=2, k_trunc=3)


def stochastic():
    return layers.StochasticRNN(4, latent_dim=2)


def z_forcing():
    return models.ZForcing(stochastic(), layers.GaussianHead(FEATURES))


def generator():
    return models.AutoregressiveRNN(
        keras.layers.GRUCell(4), layers.GaussianHead(FEATURES)
    )


@pytest.mark.parametrize("make", [sab, stochastic, z_forcing, generator])
def test_the_second_call_compiles_nothing(make, programs):
    layer = make()
    layer(x())
    layer(x(seed=1))
    assert programs
    programs.clear()
    layer(x(seed=2))
    assert not programs


def test_new_weights_and_shapes_are_used():
    layer = sab()
    before = layer(x())
    layer.set_weights([w / 2 for w in layer.get_weights()])
    other = sab()
    other.build((None, TIME, FEATURES))
    other.set_weights(layer.get_weights())
    found = layer(x())
    np.testing.assert_array_equal(found, other(x()))
    assert not np.allclose(found, before)
    assert layer(x(batch=3)).shape == (3, 4)
    one = layer(x(batch=3)[:1])
    np.testing.assert_allclose(layer(x(batch=3))[:1], one, rtol=1e-5)


def cumulated(factor, xs, reverse=False):
    def body(total, x):
        total = total * factor + x
        return total, total

    return backend.scan(body, xs[0] * 0, xs, len(xs), reverse=reverse)


def test_is_what_jax_loops_compute():
    import jax

    xs, factor = np.arange(1.0, 5, dtype="float32"), np.float32(0.5)
    for reverse in (False, True):
        total, ys = cumulated(jax.numpy.asarray(factor), xs, reverse)
        with jax.disable_jit():
            expected = cumulated(jax.numpy.asarray(factor), xs, reverse)
        np.testing.assert_allclose(total, expected[0])
        np.testing.assert_allclose(ys, expected[1])


def test_can_be_transformed():
    import jax

    xs = jax.numpy.arange(1.0, 5)

    def last(factor):  # Of 1, 2, 3, 4.
        return cumulated(factor, xs)[0]

    def slope(f):
        return 3 * f**2 + 4 * f + 3

    assert jax.grad(last)(0.5) == pytest.approx(slope(0.5))
    slopes = jax.vmap(jax.grad(last))(xs)
    np.testing.assert_allclose(slopes, slope(xs), rtol=1e-6)
    assert jax.jit(last)(0.5) == pytest.approx(float(last(0.5)))


def test_the_oldest_programs_are_forgotten(monkeypatch):
    from keras_seqcredit.backend import eager_loops

    monkeypatch.setattr(eager_loops, "MAX_PROGRAMS", 2)
    eager_loops._programs.clear()
    for length in (2, 3, 2, 4):
        cumulated(1.0, np.ones(length, "float32"))
    assert len(eager_loops._programs) == 2
    texts = [key[0] for key in eager_loops._programs]
    assert "tensor<2xf32>" in texts[0] and "tensor<4xf32>" in texts[1]
