"""Transition operators: densities, samples, networks, steps."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit.layers import BernoulliTransition
from keras_seqcredit.layers import GaussianTransition
from keras_seqcredit.layers import Transition
from keras_seqcredit.models import transition_mlp
from keras_seqcredit.models import transition_unet

STATES = np.array([[0.5, -1.0], [2.0, 0.25], [0.0, 3.0]], "float32")
AFTER = np.array([[0.1, -0.7], [1.0, 1.25], [-2.0, 0.5]], "float32")
NOISE = np.array([[0.2, -0.3], [0.9, 0.1], [0.4, 0.6]], "float32")
TEMPERATURES = np.array([1.0, 2.0, 0.5], "float32")


def dense(outputs):
    layer = keras.layers.Dense(outputs)
    layer.build((None, 2))
    random = np.random.default_rng(0)
    layer.set_weights([random.normal(size=w.shape) for w in layer.weights])
    return layer


def apply(layer, states):
    kernel, bias = layer.get_weights()
    return states @ kernel + bias


def to_numpy(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize("alpha", [0, 0.3, 1])
@pytest.mark.parametrize("scale", ["learned", 0.6])
def test_gaussian_by_hand(alpha, scale):
    learned = scale == "learned"
    network = dense(4 if learned else 2)
    transition = GaussianTransition(
        network, alpha, scale, min_scale=0.05, max_scale=2.0
    )
    parameters = transition(STATES)
    outputs = apply(network, STATES)
    mean = alpha * STATES + (1 - alpha) * outputs[:, :2]
    deviation = 0.6
    if learned:
        deviation = 0.05 * (2 / 0.05) ** (1 / (1 + np.exp(-outputs[:, 2:])))
    for temperature in (2.0, TEMPERATURES):
        wide = deviation * np.sqrt(np.reshape(temperature, (-1, 1)))
        expected = -0.5 * np.square((AFTER - mean) / wide)
        expected -= np.log(wide) + 0.5 * np.log(2 * np.pi)
        found = transition.log_prob(parameters, AFTER, temperature)
        np.testing.assert_allclose(found, expected.sum(1), rtol=1e-4)
        found = transition.sample(parameters, NOISE, temperature)
        np.testing.assert_allclose(found, mean + wide * NOISE, rtol=1e-4)
    np.testing.assert_allclose(transition.mean(parameters), mean, rtol=1e-5)
    smallest = 0.05**2 if learned else 0.6**2
    assert transition.smallest_variance == pytest.approx(smallest)


def test_bernoulli_by_hand():
    network = dense(2)
    transition = BernoulliTransition(network)
    states = np.array([[0, 1], [1, 1], [1, 0]], "float32")
    after = states[::-1].copy()
    logits = transition(states)
    np.testing.assert_allclose(logits, apply(network, states), rtol=1e-5)
    for temperature in (3.0, TEMPERATURES):
        tempered = apply(network, states) / np.reshape(temperature, (-1, 1))
        p = 1 / (1 + np.exp(-tempered))
        expected = np.log(np.where(after == 1, p, 1 - p)).sum(1)
        found = transition.log_prob(logits, after, temperature)
        np.testing.assert_allclose(found, expected, rtol=1e-4)
        found = transition.sample(logits, np.abs(NOISE), temperature)
        np.testing.assert_array_equal(found, np.abs(NOISE) < p)
        found = transition.mean(logits, temperature)
        np.testing.assert_allclose(found, p, rtol=1e-4)
    after[1, 0] = 0.5
    found = to_numpy(transition.log_prob(logits, after))
    np.testing.assert_array_equal(np.isnan(found), [False, True, False])


@pytest.mark.parametrize(
    "transition", [GaussianTransition, BernoulliTransition]
)
def test_the_event_is_all_axes_but_the_batch(transition):
    arguments = {"scale": 0.5} if transition is GaussianTransition else {}
    network = keras.layers.Conv2D(3, 3, padding="same")
    operator = transition(network, **arguments)
    images = np.round(np.random.default_rng(0).uniform(size=(2, 5, 4, 3)))
    parameters = operator(images)
    noise = operator.noise((2, 5, 4, 3), seed=0)
    assert operator.sample(parameters, noise, [1.0, 2.0]).shape == images.shape
    found = operator.log_prob(parameters, images, np.float32([1, 2]))
    for row, temperature in enumerate((1.0, 2.0)):
        alone = operator(images[row : row + 1])
        one = operator.log_prob(alone, images[row : row + 1], temperature)
        np.testing.assert_allclose(found[row], one[0], rtol=1e-5)


def test_noise_has_the_moments_that_samples_need():
    normal = to_numpy(
        GaussianTransition(dense(4)).noise((20_000, 2), seed=keras_seed())
    )
    assert np.abs(normal.mean(0)).max() < 0.03
    np.testing.assert_allclose(normal.std(0), 1, atol=0.03)
    uniform = to_numpy(
        BernoulliTransition(dense(2)).noise((20_000, 2), seed=keras_seed())
    )
    np.testing.assert_allclose(uniform.mean(0), 0.5, atol=0.02)
    assert 0 <= uniform.min() and uniform.max() <= 1


def keras_seed():
    return keras.random.SeedGenerator(0)


def test_priors_have_their_moments():
    mean = np.float32([0.3, -1.0])
    prior = GaussianTransition(dense(4)).prior(mean, np.float32([4.0, 0.0]))
    np.testing.assert_allclose(prior.mean()[0], mean)
    # Features without variance have that of the operator.
    np.testing.assert_allclose(prior.stddev()[0], [2.0, 0.01], rtol=1e-5)
    prior = BernoulliTransition(dense(2)).prior(np.float32([0.3, 0.0]), None)
    np.testing.assert_allclose(prior.mean()[0], [0.3, 1e-3], rtol=1e-5)


def randomize(network):
    """Ready-made networks start as the identity."""
    random = np.random.default_rng(0)
    for weight in network.trainable_weights:
        weight.assign(0.3 * random.normal(size=weight.shape))


def test_a_network_may_see_the_step():
    network = transition_mlp(2, units=(8,), num_steps=3)
    randomize(network)
    transition = GaussianTransition(network, num_steps=3)
    steps = np.array([0, 1, 2])
    found = to_numpy(transition(STATES, steps))
    np.testing.assert_allclose(
        transition(STATES), transition(STATES, 0 * steps), rtol=1e-6
    )
    for step in range(3):
        alone = transition(STATES, np.full(3, step))
        np.testing.assert_allclose(found[step], alone[step], rtol=1e-5)
    assert np.abs(found - to_numpy(transition(STATES)))[1:].min() > 0


def test_states_are_not_rounded_to_half_precision():
    network = keras.layers.Dense(2, dtype="mixed_float16")
    transition = GaussianTransition(
        network, alpha=1.0, scale=1e-4, dtype="mixed_float16"
    )
    states = STATES + np.float32(1e-5)
    found = to_numpy(transition(states))
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, states, rtol=1e-7)


@pytest.mark.parametrize("learned_scale", [True, False])
@pytest.mark.parametrize(
    "step_conditioning", [None, "embedding", "normalization"]
)
def test_ready_made_networks(learned_scale, step_conditioning):
    arguments = {"learned_scale": learned_scale}
    num_steps = None
    if step_conditioning:
        num_steps = 4
        arguments["step_conditioning"] = step_conditioning
    scale = "learned" if learned_scale else 0.1
    for network, shape in [
        (transition_mlp(3, (8,), num_steps=num_steps, **arguments), (3,)),
        (
            transition_mlp((2, 3), (8,), num_steps=num_steps, **arguments),
            (2, 3),
        ),
        (
            transition_unet(
                (4, 8, 1), (8, 8), num_steps=num_steps, **arguments
            ),
            (4, 8, 1),
        ),
    ]:
        transition = GaussianTransition(
            network, scale=scale, num_steps=num_steps
        )
        states = np.random.default_rng(0).normal(size=(2, *shape))
        parameters = to_numpy(transition(states))
        factor = 2 if learned_scale else 1
        assert parameters.shape == (2, *shape[:-1], factor * shape[-1])
        # A step moves nothing before training, and something after it.
        means = parameters[..., : shape[-1]]
        np.testing.assert_allclose(means, states, rtol=1e-6)
        randomize(network)
        parameters = to_numpy(transition(states))
        assert np.isfinite(parameters).all()
        assert np.abs(parameters[..., : shape[-1]] - states).min() > 0


class Nothing(Transition):
    pass


def test_what_a_subclass_leaves_out_is_named():
    transition = Nothing(keras.layers.Dense(2))
    for name, arguments in [
        ("distribution", [None]),
        ("prior", [None, None]),
        ("noise", [None, None]),
        ("draw", [None, None]),
    ]:
        with pytest.raises(NotImplementedError, match=f"implement `{name}`"):
            getattr(transition, name)(*arguments)
    assert transition.smallest_variance is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 1.5}, r"`alpha` to be a number in \[0, 1\].*alpha=1.5"),
        ({"alpha": float("nan")}, "Received: alpha=nan"),
        ({"alpha": "half"}, "Received: alpha='half'"),
        ({"scale": 0}, "'learned' or a positive number. Received: scale=0"),
        ({"scale": -1.0}, "Received: scale=-1.0"),
        ({"scale": "fixed"}, "Received: scale='fixed'"),
        ({"min_scale": 0.0}, "`min_scale` to be a positive number"),
        ({"alpha": True}, "Received: alpha=True"),
        ({"scale": float("inf")}, "positive number. Received: scale=inf"),
        ({"scale": [0.5]}, r"positive number. Received: scale=\[0.5\]"),
        ({"max_scale": 0.01}, "above `min_scale=0.01`. Received: max_scale="),
        ({"max_scale": float("inf")}, "Received: max_scale=inf"),
        ({"num_steps": 0}, "`num_steps` to be a positive integer"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        GaussianTransition(keras.layers.Dense(4), **arguments)


def test_numbers_of_numpy_are_numbers():
    transition = GaussianTransition(
        keras.layers.Dense(2),
        alpha=np.float32(0.25),
        scale=np.float32(0.5),
        max_scale=np.int64(2),
    )
    config = transition.get_config()
    found = [config[name] for name in ("alpha", "scale", "max_scale")]
    assert found == [0.25, 0.5, 2]
    assert type(config["scale"]) is float
    assert GaussianTransition.from_config(config).get_config() == config


class OnlyCall(keras.Layer):
    """What Keras cannot tell the shape of but by calling it."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(4)

    def call(self, inputs):
        return self.dense(inputs)


class ModelOfOnlyCall(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(4)

    def call(self, inputs):
        return self.dense(inputs)


@pytest.mark.parametrize("network", [OnlyCall, ModelOfOnlyCall])
def test_a_network_that_only_has_call(network):
    transition = GaussianTransition(network())
    transition.build((None, 2))
    assert len(transition.trainable_variables) == 2
    assert transition(STATES).shape == (3, 4)
    with pytest.raises(ValueError, match=r"Received: outputs of shape \(None"):
        GaussianTransition(network(), scale=1.0).build((None, 2))


@pytest.mark.parametrize(
    ("network", "num_steps", "message"),
    [
        (transition_mlp(2, (4,), num_steps=3), None, "without `num_steps`"),
        (transition_mlp(2, (4,)), 3, "of their steps, for num_steps=3"),
        (keras.layers.Dense(4), 3, "of their steps, for num_steps=3"),
    ],
)
def test_a_network_that_does_not_see_what_it_is_given(
    network, num_steps, message
):
    transition = GaussianTransition(network, num_steps=num_steps)
    with pytest.raises(ValueError, match=f"{message}. Received: <"):
        transition.build((None, 2))


def test_a_network_that_is_none():
    with pytest.raises(ValueError, match="a Keras layer or model. Received"):
        BernoulliTransition(np.tanh)


@pytest.mark.parametrize(
    ("transition", "message"),
    [
        (
            GaussianTransition(keras.layers.Dense(2)),
            r"have shape \(None, 4\), means and as many scales, for "
            r"scale='learned'. Received: outputs of shape \(None, 2\)",
        ),
        (
            GaussianTransition(keras.layers.Dense(3), scale=1.0),
            r"have shape \(None, 2\), means, for scale=1.0. Received: outp",
        ),
        (BernoulliTransition(keras.layers.Dense(3)), r"shape \(None, 2\)\. Re"),
        (
            BernoulliTransition(keras.layers.Reshape((1, 2))),
            r"Received: outputs of shape \(None, 1, 2\)",
        ),
    ],
)
def test_a_network_with_outputs_of_another_shape(transition, message):
    with pytest.raises(ValueError, match=message):
        transition.build((None, 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: transition_mlp(0), "`shape` to be a positive integer"),
        (
            lambda: transition_mlp(2, units=(8, -1)),
            "`units` to be a tuple",
        ),
        (
            lambda: transition_mlp(2, num_steps=2, step_conditioning="concat"),
            "`step_conditioning` to be one of",
        ),
        (
            lambda: transition_unet((6, 8, 1), (8, 8, 8)),
            "divisible by 4, for 3",
        ),
        (lambda: transition_unet((8, 8)), r"Received: shape=\(8, 8\)"),
        (lambda: transition_unet((8, 8, 1), (12,)), "multiples of 8"),
    ],
)
def test_bad_arguments_of_networks(make, message):
    with pytest.raises(ValueError, match=message):
        make()
