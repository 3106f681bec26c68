"""Heads of `symlog` targets against numerical integration, and the layer."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import integrate
from scipy import special
from scipy import stats

from keras_seqcredit import layers
from keras_seqcredit.models import ZForcing
from tests.gradients import FASTEST
from tests.gradients import double_precision
from tests.gradients import value_and_gradients
from tests.laws.running import QUICKLY

EVENT, COMPONENTS = 2, 3
HEADS = {
    "gaussian": lambda **kwargs: layers.GaussianHead(EVENT, **kwargs),
    "mixture": lambda **kwargs: layers.GaussianMixtureHead(
        EVENT, COMPONENTS, **kwargs
    ),
}
every_head = pytest.mark.parametrize("name", HEADS)


def make_parameters(head, steps=(4, 3), scale=1.0):
    random = np.random.default_rng(0)
    return scale * random.normal(size=(*steps, head.num_parameters))


def make_targets(steps=(4, 3)):
    """From thousandths to thousands, of either sign, and 0."""
    random = np.random.default_rng(1)
    targets = np.exp(random.uniform(-7, 7, size=(*steps, EVENT)))
    targets *= random.choice([-1, 1], size=targets.shape)
    targets[0] = 0
    return targets


def components(name, parameters):
    """Weights `(..., K)`, means and deviations `(..., K, D)`."""
    if name == "gaussian":
        mean, log_variance = np.split(parameters, 2, axis=-1)
        weights = np.ones((*parameters.shape[:-1], 1))
        return (
            weights,
            mean[..., None, :],
            np.exp(log_variance / 2)[..., None, :],
        )
    logits, means, log_variances = np.split(
        parameters, COMPONENTS * np.array([1, 1 + EVENT]), axis=-1
    )
    shape = (*parameters.shape[:-1], COMPONENTS, EVENT)
    deviations = np.exp(log_variances / 2).reshape(shape)
    return special.softmax(logits, -1), means.reshape(shape), deviations


def log_density(name, parameters, targets):
    """The definition, in double precision."""
    weights, means, deviations = components(name, parameters)
    x = np.sign(targets) * np.log1p(np.abs(targets))
    log_probs = stats.norm.logpdf(x[..., None, :], means, deviations).sum(-1)
    jacobian = -np.log1p(np.abs(targets)).sum(-1)
    return special.logsumexp(np.log(weights) + log_probs, axis=-1) + jacobian


@every_head
def test_nats_are_those_of_the_targets(name):
    """Values and gradients; padding may hold anything."""
    targets = make_targets()
    mask = np.ones(targets.shape[:-1], bool)
    mask[1, :2] = False
    with double_precision():
        head = HEADS[name](dtype="float64", symlog=True)
        parameters = make_parameters(head)
        given = np.where(mask[..., None], targets, np.nan)

        def total(arrays):
            return ops.sum(head.log_prob(*arrays, mask))

        value, (gradient, of_targets) = value_and_gradients(
            total, [parameters, given], "jit"
        )
    expected = log_density(name, parameters, targets)
    assert value == pytest.approx(expected[mask].sum(), rel=1e-9)
    step = 1e-6

    def difference(i, of, shift):
        arrays = [parameters, targets]
        arrays[of] = arrays[of] + shift * np.eye(arrays[of].shape[-1])[i]
        return log_density(name, *arrays)

    for of, found in enumerate((gradient, of_targets)):
        assert (found[~mask] == 0).all()
        # Not at the targets that are 0, where the Jacobian has its tip.
        for i in range(found.shape[-1]):
            slope = difference(i, of, step) - difference(i, of, -step)
            np.testing.assert_allclose(
                found[1:][mask[1:]][:, i],
                (slope / (2 * step))[1:][mask[1:]],
                rtol=1e-4,
                atol=1e-4,
            )


def test_the_density_has_an_area_of_1_a_mean_and_a_peak():
    head = layers.GaussianHead(1, symlog=True)
    for mean, log_variance in [(0.7, -1.0), (-1.5, 0.2), (0.1, -0.5), (3, -4)]:
        parameters = np.array([mean, log_variance], "float32")

        def density(y, parameters=parameters):
            return np.exp(log_density("gaussian", parameters, np.array([y])))

        scale = np.exp(log_variance / 2)
        inside = [f * scale + mean for f in range(-8, 9)]
        points = [np.sign(x) * np.expm1(abs(x)) for x in inside]
        pieces = [*sorted({0.0, *points})]

        def integral(function, pieces=pieces):
            pairs = zip(pieces[:-1], pieces[1:], strict=True)
            return sum(integrate.quad(function, *ends)[0] for ends in pairs)

        # This tests the test: quadrature sees the whole density.
        assert integral(density) == pytest.approx(1, rel=1e-6)
        found = float(head.mean(parameters)[0])
        expected = integral(lambda y, f=density: y * f(y))
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
        mode = float(head.mode(parameters)[0])
        around = mode + np.linspace(-0.5, 0.5, 101)
        peak = float(np.asarray(density(mode)).item())
        assert all(density(y) <= peak * (1 + 1e-6) for y in around)


@every_head
def test_samples_means_and_modes_are_those_of_symexp(name):
    plain, head = HEADS[name](), HEADS[name](symlog=True)
    parameters = make_parameters(head, scale=0.5, steps=())
    rows = np.broadcast_to(parameters, (20000, len(parameters)))
    rows = rows.astype("float32")
    sample = ops.convert_to_numpy(head.sample(rows, seed=1))
    x = ops.convert_to_numpy(plain.sample(rows, seed=1))
    np.testing.assert_allclose(
        sample, np.sign(x) * np.expm1(np.abs(x)), rtol=1e-4, atol=1e-6
    )
    mean = ops.convert_to_numpy(head.mean(rows[:1]))[0]
    error = 5 * sample.std(axis=0) / len(sample) ** 0.5
    assert (np.abs(sample.mean(axis=0) - mean) < error).all()
    mode = ops.convert_to_numpy(head.mode(rows[:1]))[0].astype("float64")
    weights, means, deviations = components(name, parameters)
    expected = [
        np.log(w) + stats.norm.logpdf(at, m, s).sum() - np.abs(at).sum()
        for w, m, s, at in zip(
            weights, means, deviations, peaks(means, deviations), strict=True
        )
    ]
    best = peaks(means, deviations)[np.argmax(expected)]
    np.testing.assert_allclose(
        mode, np.sign(best) * np.expm1(np.abs(best)), rtol=1e-4, atol=1e-6
    )


def peaks(means, deviations):
    return np.sign(means) * np.maximum(np.abs(means) - deviations**2, 0)


def test_wide_and_far_densities_have_no_nan():
    head = layers.GaussianHead(2, symlog=True)
    parameters = np.array([[90.0, -90.0, 50, 50], [0, 1, 8, 8]], "float32")
    for result in (head.mean(parameters), head.mode(parameters)):
        assert not np.isnan(ops.convert_to_numpy(result)).any()
    assert float(head.mean(parameters)[1, 0]) == 0


def test_the_layer():
    x = np.array([-1e3, -1e-3, 0.0, 1e-3, 2.0, 1e6], "float32")
    value, (gradient,) = value_and_gradients(
        lambda arrays: ops.sum(layers.Symlog()(arrays[0])), [x], FASTEST
    )
    expected = np.sign(x) * np.log1p(np.abs(x))
    np.testing.assert_allclose(layers.Symlog()(x), expected, rtol=1e-6)
    assert value == pytest.approx(expected.sum(), rel=1e-6)
    # At 0, too.
    np.testing.assert_allclose(gradient, 1 / (1 + np.abs(x)), rtol=1e-5)


def test_a_model_of_series_of_any_scale(tmp_path):
    random = np.random.default_rng(0)
    x = np.exp(random.normal(5, 2, size=(6, 4, 1))).astype("float32")
    model = ZForcing(
        layers.StochasticRNN(4, latent_dim=2, seed=1),
        layers.GaussianHead(1, symlog=True),
        embedding=layers.Symlog(),
        backward_weight=0.1,
        seed=2,
    )
    model.compile(keras.optimizers.SGD(0.01), **QUICKLY)
    history = model.fit(x, epochs=2, batch_size=3, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["nll"][-1] < history["nll"][0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.head.symlog
    samples = [m.generate(length=3, seed=3) for m in (model, loaded)]
    assert np.isfinite(samples[0]).all()
    np.testing.assert_allclose(*samples, rtol=1e-4)


@every_head
def test_a_bad_flag(name):
    with pytest.raises(ValueError, match="`symlog` to be True or False"):
        HEADS[name](symlog="log")
