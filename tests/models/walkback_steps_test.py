"""`VariationalWalkback`: which step a network is given, and what moves."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit.layers import GaussianTransition
from keras_seqcredit.layers import StepNormalization
from keras_seqcredit.models import VariationalWalkback
from tests.gradients import FASTEST

QUICKLY = {"jit_compile": FASTEST == "jit", "run_eagerly": FASTEST == "eager"}


def to_numpy(x):
    return ops.convert_to_numpy(x)


class StepNumber(keras.Layer):
    """Puts out the number of the step, and has something to train."""

    def build(self, inputs_shape):
        self.offset = self.add_weight(
            shape=(), initializer="zeros", name="offset"
        )

    def call(self, inputs):
        states, steps = inputs
        steps = ops.cast(steps, states.dtype)[:, None]
        return 0 * states + steps + self.offset


def make_model(num_steps=3, network=None, scale=1e-3, **arguments):
    """A chain whose states are the numbers of the steps that made them."""
    known = num_steps + arguments.get("extra_steps", 0)
    transition = GaussianTransition(
        network or StepNumber(), alpha=0.0, scale=scale, num_steps=known
    )
    model = VariationalWalkback(
        transition, num_steps, temperature_factor=1.0, seed=0, **arguments
    )
    model.build((None, 1))
    model.compile(keras.optimizers.SGD(0.0), **QUICKLY)
    return model


def steps_of(path):
    """The steps that made the states, the same for all points."""
    steps = np.round(path[1:, :, 0])
    np.testing.assert_allclose(path[1:, :, 0], steps, atol=0.01)
    assert (steps == steps[:, :1]).all()
    return steps[:, 0].tolist()


def test_steps_of_chains():
    model = make_model(extra_steps=1)
    x = np.full((4, 1), 9.0, "float32")
    path = model.walk(x, return_trajectory=True)
    assert steps_of(path) == [0, 1, 2, 3]
    path = model.walk(x, num_steps=2, return_trajectory=True)
    assert steps_of(path) == [0, 0]
    path = model.sample(4, extra_steps=2, return_trajectory=True)
    assert steps_of(path) == [3, 2, 1, 0, 0, 0]
    path = model.inpaint(x, np.array([False]), return_trajectory=True)
    assert steps_of(path) == [3, 2, 1, 0]
    np.testing.assert_allclose(model.denoise(x), 0)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"steps_per_call": 2}, {"steps_per_call": 1}, {"online": True}],
)
def test_steps_of_training(arguments):
    # The state before step t is t - 1, scored by an operator to t.
    model = make_model(4, **arguments)
    x = np.zeros((5, 1), "float32")
    logs = model.train_on_batch(x, return_dict=True)
    one = -0.5 * 1e3**2
    expected = 3 / 4 * one
    assert logs["reverse_log_prob"] == pytest.approx(expected, rel=0.01)
    reverse = to_numpy(model(x)["reverse"])
    np.testing.assert_allclose(reverse[:, 1:], one, rtol=0.02)
    assert (reverse[:, 0] > -1e3).all()
    assert (to_numpy(model(x)["forward"]) > -1e3).all()


def test_the_step_of_the_acceptance():
    # From and to the number of the last step all is as likely; another state
    # is never come back to.
    model = make_model(4, extra_steps=1)
    x = np.float32([[4.0], [3.0], [0.0]])
    np.testing.assert_allclose(model(x)["acceptance"], [1, 0, 0], atol=0.02)


class Normalized(keras.Layer):
    """Puts out the number of the step, counted from 1, and normalizes."""

    def __init__(self, num_steps):
        super().__init__()
        self.normalize = StepNormalization(num_steps, momentum=0.0)

    def call(self, inputs):
        states, steps = inputs
        found = 0 * self.normalize(states, steps)
        return found + ops.cast(steps + 1, found.dtype)[:, None]


@pytest.mark.parametrize("online", [False, True])
def test_statistics_move_for_their_own_step(online):
    model = make_model(3, Normalized(3), online=online)
    layer = model.transition.network.normalize
    x = np.float32([[5.0], [7.0]])
    model.evaluate(x, verbose=0)
    np.testing.assert_array_equal(layer.moving_mean.value, np.zeros((3, 1)))
    model.train_on_batch(x)
    # Of the states that the way back is scored at.
    expected = [[1.0], [2.0], [3.0]]
    np.testing.assert_allclose(layer.moving_mean.value, expected, atol=0.01)
    assert (to_numpy(layer.moving_variance.value) < 1e-4).all()


def test_noise_of_dequantization():
    # An operator that hardly moves.
    transition = GaussianTransition(
        keras.layers.Dense(2), alpha=1.0, scale=1e-6
    )
    model = VariationalWalkback(transition, 1, dequantize=True, seed=0)
    x = np.tile(np.float32([[0, 255]]), (20_000, 1))
    noise, another = (256 * to_numpy(model(x)["last"]) - x for _ in range(2))
    for found in (noise, another):
        np.testing.assert_allclose(found.mean(0), 0.5, atol=0.01)
        np.testing.assert_allclose(found.std(0), 12**-0.5, atol=0.01)
        assert -0.01 < found.min() < 0.01
        assert 0.99 < found.max() < 1.01
    assert np.abs(np.corrcoef(noise.ravel(), another.ravel())[0, 1]) < 0.02
    assert np.abs(np.corrcoef(noise.T)[0, 1]) < 0.03


@pytest.mark.parametrize(("updates", "rate"), [(3, 0.25), (50, 0.1)])
def test_momentum_of_the_moments(updates, rate):
    model = make_model(4, momentum=0.9)
    model.prior_mean.assign([1.0])
    model.prior_variance.assign([2.0])
    model.updates.assign(updates)
    model.train_on_batch(np.zeros((5, 1), "float32"))
    # All last states are 3.
    mean = 1 + rate * 2
    second = (1 - rate) * (2.0 + 1) + rate * 9
    np.testing.assert_allclose(model.prior_mean.value, [mean], rtol=1e-3)
    np.testing.assert_allclose(
        model.prior_variance.value, [second - mean**2], rtol=1e-3
    )


def test_a_learned_chain_goes_on_ten_times_as_long():
    # Data of a standard normal: the operator that leaves them as they are has
    # theta = 0.6, see `test_the_linear_case_that_is_solved_by_hand`.
    network = keras.layers.Dense(1)
    model = VariationalWalkback(
        GaussianTransition(network, alpha=0.5, scale=0.6),
        4,
        temperature_factor=1.0,
        seed=1,
    )
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 100)
    how = {"jit_compile": FASTEST == "jit"}
    model.compile(keras.optimizers.SGD(schedule), **how)
    x = 1 + np.random.default_rng(0).normal(size=(4000, 1))
    x = np.tile(x, (100, 1))
    model.fit(x, batch_size=4000, shuffle=False, verbose=0)
    for extra_steps in (0, 36):
        samples = model.sample(20_000, extra_steps=extra_steps, seed=0)
        assert samples.mean() == pytest.approx(1.0, abs=0.1)
        assert samples.std() == pytest.approx(1.0, abs=0.07)
