"""Heads against scipy in double precision, and how they behave in models."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import special
from scipy import stats

from keras_seqcredit.layers.heads.bernoulli_head import BernoulliHead
from keras_seqcredit.layers.heads.categorical_head import CategoricalHead
from keras_seqcredit.layers.heads.discretized_logistic_mixture_head import (
    DiscretizedLogisticMixtureHead,
)
from keras_seqcredit.layers.heads.gaussian_head import GaussianHead
from keras_seqcredit.layers.heads.gaussian_mixture_head import (
    GaussianMixtureHead,
)
from keras_seqcredit.layers.heads.pen_stroke_head import PenStrokeHead
from tests.gradients import BACKEND
from tests.gradients import double_precision
from tests.gradients import value_and_gradients

BATCH, TIME, EVENT, COMPONENTS, LEVELS, LOW = 2, 4, 3, 5, 6, -2

HEADS = {
    "gaussian": lambda **kwargs: GaussianHead(EVENT, **kwargs),
    "gaussian_mixture": lambda **kwargs: GaussianMixtureHead(
        EVENT, COMPONENTS, **kwargs
    ),
    "pen_stroke": lambda **kwargs: PenStrokeHead(COMPONENTS, **kwargs),
    "bernoulli": lambda **kwargs: BernoulliHead(EVENT, **kwargs),
    "categorical": lambda **kwargs: CategoricalHead(LEVELS, **kwargs),
    "discretized_logistic_mixture": (
        lambda **kwargs: DiscretizedLogisticMixtureHead(
            EVENT, COMPONENTS, LEVELS, LOW, **kwargs
        )
    ),
}
every_head = pytest.mark.parametrize("name", HEADS)
discrete_head = pytest.mark.parametrize(
    "name", ["bernoulli", "categorical", "discretized_logistic_mixture"]
)


def make_parameters(head, scale=2.0, steps=(BATCH, TIME)):
    random = np.random.default_rng(0)
    size = (*steps, head.num_parameters)
    return (scale * random.normal(size=size)).astype("float32")


def make_targets(name, steps=(BATCH, TIME)):
    random = np.random.default_rng(1)
    event = (*steps, EVENT)
    if name == "bernoulli":
        return random.integers(2, size=event)
    if name == "categorical":
        return random.integers(LEVELS, size=steps)
    if name == "discretized_logistic_mixture":
        return LOW + random.integers(LEVELS, size=event)
    targets = 3 * random.normal(size=event).astype("float32")
    if name == "pen_stroke":
        targets[..., 2] = random.integers(2, size=steps)
    return targets


def expected_log_prob(name, parameters, targets, clip=8.0):
    """The definition, in double precision."""
    parameters = np.asarray(parameters, "float64")
    steps = parameters.shape[:-1]
    if name == "gaussian":
        mean, log_variance = np.split(parameters, 2, axis=-1)
        scale = np.exp(np.clip(log_variance, -clip, clip) / 2)
        return stats.norm.logpdf(targets, mean, scale).sum(-1)
    if name == "gaussian_mixture":
        logits = parameters[..., :COMPONENTS]
        rest = parameters[..., COMPONENTS:]
        rest = rest.reshape(*steps, 2, COMPONENTS, EVENT)
        means, log_variances = rest[..., 0, :, :], rest[..., 1, :, :]
        scales = np.exp(np.clip(log_variances, -clip, clip) / 2)
        log_probs = stats.norm.logpdf(targets[..., None, :], means, scales)
        return special.logsumexp(
            special.log_softmax(logits, -1) + log_probs.sum(-1), axis=-1
        )
    if name == "pen_stroke":
        weights, means, deviations, correlations, pen = stroke(parameters)
        x, y = np.moveaxis((targets[..., None, :2] - means) / deviations, -1, 0)
        rest = 1 - correlations**2
        log_probs = (2 * correlations * x * y - x**2 - y**2) / (2 * rest)
        log_probs -= np.log(2 * np.pi * deviations.prod(-1) * np.sqrt(rest))
        return special.logsumexp(
            np.log(weights) + log_probs, axis=-1
        ) + special.log_expit((2 * targets[..., 2] - 1) * pen)
    if name == "bernoulli":
        sign = 2 * np.asarray(targets, "float64") - 1
        return special.log_expit(sign * parameters).sum(-1)
    if name == "categorical":
        log_probs = special.log_softmax(parameters, -1)
        return np.take_along_axis(log_probs, targets[..., None], -1)[..., 0]
    return np.log(level_probabilities(parameters, targets)).sum(-1)


def stroke(parameters):
    """What the parameters of a pen stroke stand for."""
    shape = (*parameters.shape[:-1], COMPONENTS, 2)
    logits, means, log_variances, correlations, pen = np.split(
        parameters, COMPONENTS * np.array([1, 3, 5, 6]), axis=-1
    )
    return (
        special.softmax(logits, -1),
        means.reshape(shape),
        np.exp(np.clip(log_variances, -8, 8) / 2).reshape(shape),
        np.tanh(np.clip(correlations, -3, 3)),
        pen[..., 0],
    )


def level_probabilities(parameters, targets):
    """Probabilities of levels by scipy, from whichever tail is the smaller."""
    steps = parameters.shape[:-1]
    parameters = np.asarray(parameters, "float64")
    parameters = parameters.reshape(*steps, EVENT, 3, COMPONENTS)
    logits, locs, log_scales = np.moveaxis(parameters, -2, 0)
    half = (LEVELS - 1) / 2
    locs = LOW + half * (1 + locs)
    scales = half * np.exp(np.clip(log_scales, -7, 7))
    y = np.asarray(targets, "float64")[..., None]
    below = np.where(y == LOW, -np.inf, y - 0.5)
    above = np.where(y == LOW + LEVELS - 1, np.inf, y + 0.5)
    low, high = stats.logistic.cdf([below, above], locs, scales)
    rest_low, rest_high = stats.logistic.sf([below, above], locs, scales)
    levels = np.where(high < rest_low, high - low, rest_low - rest_high)
    return (special.softmax(logits, -1) * levels).sum(-1)


def compiled(function):
    if BACKEND == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=True, autograph=False)


@every_head
def test_log_prob(name):
    head = HEADS[name]()
    parameters, targets = make_parameters(head), make_targets(name)
    log_prob = compiled(head.log_prob)(
        ops.convert_to_tensor(parameters), ops.convert_to_tensor(targets)
    )
    assert keras.backend.standardize_dtype(log_prob.dtype) == "float32"
    expected = expected_log_prob(name, parameters, targets)
    np.testing.assert_allclose(log_prob, expected, rtol=2e-6, atol=1e-6)


@every_head
def test_padding_may_hold_anything(name):
    head = HEADS[name]()
    parameters, targets = make_parameters(head), make_targets(name)
    expected = expected_log_prob(name, parameters, targets)
    mask = np.array([[1, 1, 1, 0], [1, 0, 0, 1]], bool)
    parameters[~mask] = np.nan
    targets = targets.astype("float32")
    targets[~mask] = np.nan

    def total(arrays):
        return ops.sum(head.log_prob(arrays[0], targets, mask))

    value, (gradient,) = value_and_gradients(total, [parameters], "jit")
    assert value == pytest.approx(expected[mask].sum(), rel=1e-5)
    assert np.isfinite(gradient).all()
    assert (gradient[~mask] == 0).all()
    assert (np.abs(gradient[mask]).max(axis=-1) > 0).all()


@every_head
def test_extreme_parameters(name):
    head = HEADS[name]()
    signs = np.sign(make_parameters(head))
    targets = np.stack(2 * [make_targets(name)])

    def total(arrays):
        return ops.sum(head.log_prob(arrays[0], targets))

    parameters = np.stack([65504 * signs, 1e-30 * signs])
    value, (gradient,) = value_and_gradients(total, [parameters], "jit")
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    "name",
    ["gaussian_mixture", "pen_stroke", "discretized_logistic_mixture"],
)
def test_gradient_is_that_of_finite_differences(name):
    with double_precision():
        head = HEADS[name](dtype="float64")
        parameters = make_parameters(head, steps=(2,)).astype("float64")
        targets = make_targets(name, steps=(2,)).astype("float64")

        def total(arrays):
            return ops.sum(head.log_prob(arrays[0], targets))

        _, (gradient,) = value_and_gradients(total, [parameters], "jit")
    step = 1e-6 * np.eye(parameters.size).reshape(-1, *parameters.shape)
    expected = [
        expected_log_prob(name, parameters + h, targets).sum()
        - expected_log_prob(name, parameters - h, targets).sum()
        for h in step
    ]
    assert gradient.dtype == "float64"
    np.testing.assert_allclose(
        gradient.ravel(), np.array(expected) / 2e-6, rtol=1e-5, atol=1e-7
    )


def test_levels_keep_their_digits_in_the_tails_and_at_wide_scales():
    """Where a difference of distribution functions has lost them all."""
    head = DiscretizedLogisticMixtureHead(1, num_components=1)
    locs, log_scales = np.meshgrid([-20.0, -1, 0.3, 9], [-7.0, -3, 0, 3, 7])
    parameters = np.stack(
        [0 * locs, locs, log_scales], axis=-1, dtype="float32"
    )
    targets = np.full((*locs.shape, 1), 100.0)
    loc = 127.5 * (1 + parameters[..., 1].astype("float64"))
    scale = 127.5 * np.exp(parameters[..., 2].astype("float64"))
    below, above = (99.5 - loc) / scale, (100.5 - loc) / scale

    def total(arrays):
        return ops.sum(head.log_prob(arrays[0], targets))

    _, (gradient,) = value_and_gradients(total, [parameters], "jit")
    expected = special.log_expit(above) + special.log_expit(-below)
    expected += np.log(-np.expm1(-1 / scale))
    log_prob = compiled(lambda x: head.log_prob(x, targets))(
        ops.convert_to_tensor(parameters)
    )
    np.testing.assert_allclose(log_prob, expected, rtol=1e-6)
    slope = 127.5 * (special.expit(below) - special.expit(-above)) / scale
    np.testing.assert_allclose(gradient[..., 1], slope, rtol=2e-4, atol=1e-7)


@discrete_head
def test_impossible_targets_are_not_scored(name):
    head = HEADS[name]()
    parameters = make_parameters(head)
    targets = make_targets(name).astype("float32")
    wrong = [2.0, -0.1] if name == "bernoulli" else [LEVELS, -3.0, 0.5, np.nan]
    for step, value in enumerate(wrong):
        targets[(0, step, 0)[: targets.ndim]] = value
    impossible = np.zeros((BATCH, TIME), bool)
    impossible[0, : len(wrong)] = True

    def total(arrays):
        log_prob = head.log_prob(arrays[0], targets)
        return ops.sum(ops.where(ops.isnan(log_prob), 1000.0, log_prob))

    value, (gradient,) = value_and_gradients(total, [parameters], "jit")
    possible = expected_log_prob(name, parameters, make_targets(name))
    expected = 1000 * len(wrong) + possible[~impossible].sum()
    assert value == pytest.approx(expected, rel=1e-5)
    assert (gradient[impossible] == 0).all()
    assert np.isfinite(gradient).all()


def test_probabilities_of_the_levels():
    head = HEADS["discretized_logistic_mixture"]()
    parameters = make_parameters(head)
    probabilities = compiled(head.probabilities)(
        ops.convert_to_tensor(parameters)
    )
    probabilities = np.array(probabilities)
    assert probabilities.shape == (BATCH, TIME, EVENT, LEVELS)
    np.testing.assert_allclose(probabilities.sum(-1), 1.0, rtol=1e-5)
    for level in range(LEVELS):
        targets = np.full((BATCH, TIME, EVENT), LOW + level)
        np.testing.assert_allclose(
            probabilities[..., level],
            level_probabilities(parameters, targets),
            rtol=1e-5,
            atol=1e-7,
        )


def moments(name, parameters):
    """Mean and variance of the distribution of one step, in numpy."""
    parameters = parameters.astype("float64")
    if name == "gaussian":
        return parameters[:EVENT], np.exp(parameters[EVENT:])
    if name == "gaussian_mixture":
        weights = special.softmax(parameters[:COMPONENTS])[:, None]
        means, log_variances = parameters[COMPONENTS:].reshape(2, -1, EVENT)
        mean = (weights * means).sum(0)
        second = (weights * (np.exp(log_variances) + means**2)).sum(0)
        return mean, second - mean**2
    if name == "pen_stroke":
        weights, means, deviations, _, pen = stroke(parameters)
        mean, pen = weights @ means, special.expit(pen)
        variance = weights @ (deviations**2 + means**2) - mean**2
        return np.append(mean, pen), np.append(variance, pen * (1 - pen))
    if name == "bernoulli":
        probabilities = special.expit(parameters)
        return probabilities, probabilities * (1 - probabilities)
    if name == "categorical":
        levels, probabilities = np.arange(LEVELS), special.softmax(parameters)
    else:
        levels = LOW + np.arange(LEVELS)
        probabilities = level_probabilities(
            parameters, np.broadcast_to(levels[:, None], (LEVELS, EVENT))
        ).T
    mean = (levels * probabilities).sum(-1)
    return mean, (levels**2 * probabilities).sum(-1) - mean**2


@every_head
def test_samples_have_the_moments(name):
    head, count = HEADS[name](), 20000
    parameters = make_parameters(head, scale=0.8, steps=())
    mean, variance = moments(name, parameters)
    rows = np.broadcast_to(parameters, (count, len(parameters)))
    sample, means = compiled(
        lambda rows: (head.sample(rows, seed=1), head.mean(rows[:1]))
    )(ops.convert_to_tensor(rows))
    integers = name in ("categorical", "discretized_logistic_mixture")
    dtype = keras.backend.standardize_dtype(sample.dtype)
    assert dtype == ("int32" if integers else "float32")
    sample = np.asarray(sample, "float64")
    error = 5 * np.sqrt(variance / count)
    assert (np.abs(sample.mean(0) - mean) < error).all()
    np.testing.assert_allclose(sample.var(0), variance, rtol=0.1)
    if name != "categorical":
        np.testing.assert_allclose(means[0], mean, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["gaussian", "gaussian_mixture", "bernoulli"])
def test_temperature_raises_the_density_to_a_power(name):
    head, temperature = HEADS[name](), 0.5
    parameters = make_parameters(head, scale=0.8, steps=())
    cool = parameters.copy()
    if name == "gaussian":
        cool[EVENT:] += np.log(temperature)
    elif name == "bernoulli":
        cool /= temperature
    else:
        cool[:COMPONENTS] /= temperature
        cool[-COMPONENTS * EVENT :] += np.log(temperature)
    sample = compiled(
        lambda rows, temperature: head.sample(rows, 2, temperature)
    )
    rows, cool_rows = (
        ops.convert_to_tensor(np.broadcast_to(x, (100, len(x))))
        for x in (parameters, cool)
    )
    np.testing.assert_allclose(
        sample(rows, ops.convert_to_tensor(temperature)),
        sample(cool_rows, ops.convert_to_tensor(1.0)),
        rtol=1e-4,
        atol=1e-5,
    )


@discrete_head
def test_cold_samples_are_the_mode(name):
    head = HEADS[name]()
    parameters = make_parameters(head, scale=1.0)
    if name == "discretized_logistic_mixture":
        # One component that is narrow: the mode is where it is.
        parameters = parameters.reshape(BATCH, TIME, EVENT, 3, COMPONENTS)
        parameters[..., 0, 0], parameters[..., 2, 0] = 20, -5
        middles = LOW + (LEVELS - 1) / 2 * (1 + parameters[..., 1, 0])
        expected = np.clip(np.round(middles), LOW, LOW + LEVELS - 1)
        parameters = parameters.reshape(BATCH, TIME, -1)
    elif name == "bernoulli":
        expected = parameters > 0
    else:
        expected = parameters.argmax(-1)
    mode, cold = compiled(
        lambda x: (head.mode(x), head.sample(x, seed=0, temperature=1e-4))
    )(ops.convert_to_tensor(parameters))
    np.testing.assert_array_equal(mode, expected)
    np.testing.assert_array_equal(cold, expected)


def test_mode_of_a_mixture_is_the_highest_peak():
    head = GaussianMixtureHead(1, num_components=2)
    # The first is more likely, the second is higher.
    parameters = np.array([[1.0, 0.0, 3.0, -2.0, 2.0, -2.0]], "float32")
    np.testing.assert_allclose(head.mode(parameters), [[-2.0]])


def test_mean_of_classes_is_their_probabilities():
    head = HEADS["categorical"]()
    parameters = make_parameters(head)
    np.testing.assert_allclose(
        head.mean(parameters), special.softmax(parameters, -1), rtol=1e-5
    )


def test_gaussian_samples_are_differentiable():
    head = GaussianHead(1)

    def total(arrays):
        return ops.sum(head.sample(arrays[0], seed=0))

    parameters = np.zeros((50, 2), "float32")
    value, (gradient,) = value_and_gradients(total, [parameters], "jit")
    np.testing.assert_allclose(gradient[:, 0], 1.0)
    # d sample / d log variance is half the noise.
    assert gradient[:, 1].sum() == pytest.approx(value / 2, rel=1e-4)


def test_clipping():
    head = GaussianHead(1, clip_mean=2.0, clip_log_variance=3.0)
    parameters = np.array([[9.0, -9.0], [-9.0, 9.0]], "float32")
    distribution = head.distribution(parameters)
    np.testing.assert_allclose(distribution.mean(), [[2.0], [-2.0]])
    np.testing.assert_allclose(
        distribution.variance(), [[np.exp(-3.0)], [np.exp(3.0)]], rtol=1e-5
    )
    head = GaussianHead(1, clip_log_variance=None)
    variance = head.distribution(parameters).variance()
    np.testing.assert_allclose(
        variance, [[np.exp(-9.0)], [np.exp(9.0)]], rtol=1e-5
    )


def test_seeds():
    head = GaussianHead(EVENT)
    parameters = make_parameters(head)

    def draw(seed):
        return np.array(head.sample(parameters, seed=seed))

    np.testing.assert_array_equal(draw(3), draw(3))
    assert not np.isclose(draw(3), draw(4)).any()
    assert not np.isclose(draw(None), draw(None)).any()
    generator = keras.random.SeedGenerator(5)
    first, second = draw(generator), draw(generator)
    assert not np.isclose(first, second).any()
    again = keras.random.SeedGenerator(5)
    np.testing.assert_array_equal(first, draw(again))
    np.testing.assert_array_equal(second, draw(again))


class Sampler(keras.layers.Layer):
    def __init__(self, head, **kwargs):
        super().__init__(**kwargs)
        self.head = head
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, inputs):
        return self.head.sample(inputs, seed=self.seed_generator)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], EVENT)


def test_seed_generator_moves_on_in_a_compiled_model():
    head = GaussianHead(EVENT)
    inputs = keras.Input((None, 2))
    model = keras.Model(inputs, Sampler(head)(head(inputs)))
    model.compile(jit_compile=True)
    x = np.ones((BATCH, TIME, 2), "float32")
    first, second = (model.predict(x, verbose=0) for _ in range(2))
    assert first.shape == (BATCH, TIME, EVENT)
    assert not np.isclose(first, second).any()
    # Steps and examples are independent.
    assert len(np.unique(first)) == first.size


def test_leading_axes_are_repeated_when_they_are_one():
    head = HEADS["gaussian"]()
    parameters = make_parameters(head, steps=(5, BATCH, TIME))
    targets = make_targets("gaussian")[None]
    mask = np.array([[1, 1, 1, 0], [1, 0, 0, 1]], bool)
    log_prob = head.log_prob(parameters, targets, mask)
    expected = expected_log_prob("gaussian", parameters, targets)
    np.testing.assert_allclose(log_prob, expected * mask, rtol=1e-5, atol=1e-6)


@every_head
def test_config_and_shapes(name):
    head = HEADS[name](hidden_units=7, activation="tanh", dtype="mixed_float16")
    symbolic = head(keras.Input((None, 4)))
    assert symbolic.shape == (None, None, head.num_parameters)
    assert symbolic.dtype == "float32"
    assert head.compute_output_shape((2, 9, 4)) == (2, 9, head.num_parameters)
    config = keras.saving.serialize_keras_object(head)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == head.get_config()
    assert again.activation is keras.activations.tanh


def test_parameters_are_linear_in_the_hidden_layer():
    head = GaussianHead(EVENT, 7, "tanh", dtype="mixed_float16")
    inputs = np.random.default_rng(0).normal(size=(BATCH, TIME, 4))
    parameters = head(inputs)
    assert keras.backend.standardize_dtype(parameters.dtype) == "float32"
    kernel, bias, out_kernel, out_bias = head.get_weights()
    assert kernel.shape == (4, 7)
    expected = np.tanh(inputs @ kernel + bias) @ out_kernel + out_bias
    np.testing.assert_allclose(parameters, expected, atol=5e-3)


def test_model_learns_and_is_saved(tmp_path):
    head = HEADS["gaussian_mixture"](dtype="mixed_float16")
    inputs = keras.Input((None, 4))
    outputs = head(keras.layers.Masking()(inputs))
    model = keras.Model(inputs, outputs)
    model.compile(
        keras.optimizers.Adam(0.1),
        head.negative_log_likelihood,
        jit_compile=True,
    )
    inputs = np.random.default_rng(0).normal(size=(BATCH, TIME, 4))
    mask = np.array([[1, 1, 1, 0], [1, 1, 0, 0]], bool)
    inputs = inputs.astype("float32") * mask[..., None]
    targets = make_targets("gaussian_mixture")
    history = model.fit(inputs, targets, epochs=15, verbose=0)
    losses = history.history["loss"]
    assert losses[-1] < losses[0] - 0.3
    log_prob = np.array(head.log_prob(model(inputs), targets, mask))
    expected = -log_prob.sum() / mask.sum()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    loss = loaded.evaluate(inputs, targets, verbose=0)
    assert loss == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("create", "match"),
    [
        (lambda: GaussianHead(0), "event_size=0"),
        (lambda: GaussianHead(2.0), "event_size=2.0"),
        (lambda: GaussianHead(2, hidden_units=0), "hidden_units=0"),
        (lambda: GaussianHead(2, clip_mean=-1.0), "clip_mean=-1.0"),
        (lambda: GaussianHead(2, clip_log_variance=0), "clip_log_variance=0"),
        (lambda: GaussianMixtureHead(2, 0), "num_components=0"),
        (lambda: GaussianMixtureHead(2, clip_mean=0), "clip_mean=0"),
        (lambda: PenStrokeHead(0), "num_components=0"),
        (lambda: PenStrokeHead(2, clip_log_variance=-1), "clip_log_variance"),
        (lambda: BernoulliHead(True), "event_size=True"),
        (lambda: CategoricalHead(1), "num_classes=1"),
        (lambda: DiscretizedLogisticMixtureHead(2, -1), "num_components=-1"),
        (lambda: DiscretizedLogisticMixtureHead(2, 2, 1), "num_levels=1"),
        (lambda: DiscretizedLogisticMixtureHead(2, low=0.5), "low=0.5"),
    ],
)
def test_bad_arguments(create, match):
    with pytest.raises(ValueError, match=f"Expected `.* Received: {match}"):
        create()


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("gaussian", (BATCH, TIME, EVENT + 1)),
        ("gaussian", (BATCH, TIME)),
        ("gaussian", (BATCH, TIME + 1, EVENT)),
        ("bernoulli", (EVENT,)),
        ("categorical", (BATCH, TIME, 1)),
        ("categorical", (BATCH, TIME - 1)),
    ],
)
def test_targets_that_do_not_fit(name, shape):
    head = HEADS[name]()
    with pytest.raises(ValueError, match="Expected targets of shape .*Rec"):
        head.log_prob(make_parameters(head), np.zeros(shape, "float32"))


def test_other_bad_input():
    head = HEADS["gaussian"]()
    parameters = make_parameters(head)
    with pytest.raises(ValueError, match="float dtype .*Received: dtype=int"):
        head.log_prob(parameters, np.zeros((BATCH, TIME, EVENT), "int32"))
    with pytest.raises(ValueError, match="Expected parameters of shape"):
        head.log_prob(parameters[..., 1:], make_targets("gaussian"))
    with pytest.raises(ValueError, match="Received: temperature=0"):
        head.sample(parameters, seed=0, temperature=0)
