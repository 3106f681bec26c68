"""Metrics against numpy over all data at once."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit.layers.heads.categorical_head import CategoricalHead
from keras_seqcredit.layers.heads.gaussian_head import GaussianHead
from keras_seqcredit.metrics import ActiveUnits
from keras_seqcredit.metrics import BitsPerStep
from keras_seqcredit.metrics import mean_discrepancy
from tests.gradients import BACKEND

MASK = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]], bool)


def update_compiled(metric, *args, **kwargs):
    """Updates a metric in a compiled function, as `fit` does."""
    if BACKEND == "jax":
        import jax

        variables = [v.value for v in metric.variables]
        update = jax.jit(metric.stateless_update_state)
        for variable, value in zip(
            metric.variables, update(variables, *args, **kwargs), strict=True
        ):
            variable.assign(value)
    else:
        import tensorflow as tf

        tf.function(metric.update_state, jit_compile=True, autograph=False)(
            *args, **kwargs
        )


class TestBitsPerStep:
    NATS = np.random.default_rng(0).normal(3, 1, (3, 5)).astype("float32")

    @pytest.mark.parametrize("update", [None, update_compiled])
    def test_is_the_mean_over_valid_steps(self, update):
        metric = BitsPerStep()
        update = update or (lambda m, *a, **k: m.update_state(*a, **k))
        nats = np.where(MASK, self.NATS, np.nan)
        update(metric, nats[:2], sample_weight=MASK[:2])
        update(metric, nats[2:], sample_weight=MASK[2:])
        expected = self.NATS[MASK].mean() / np.log(2)
        assert float(metric.result()) == pytest.approx(expected, rel=1e-6)
        metric.reset_state()
        assert float(metric.result()) == 0

    def test_without_a_mask(self):
        metric = BitsPerStep()
        metric.update_state(self.NATS)
        expected = self.NATS.mean() / np.log(2)
        assert float(metric.result()) == pytest.approx(expected, rel=1e-6)

    def test_nan_of_a_valid_step_is_not_hidden(self):
        metric = BitsPerStep()
        metric.update_state(np.where(MASK, np.nan, self.NATS), None, MASK)
        assert np.isnan(metric.result())

    def test_in_compile(self, tmp_path):
        inputs = keras.Input((None, 2))
        head = CategoricalHead(4)
        outputs = head(keras.layers.Masking()(inputs))
        model = keras.Model(inputs, outputs)
        model.compile(
            "adam",
            head.negative_log_likelihood,
            metrics=[BitsPerStep(head)],
            jit_compile=True,
        )
        random = np.random.default_rng(1)
        x = random.normal(size=(3, 5, 2)).astype("float32") * MASK[..., None]
        y = random.integers(4, size=(3, 5))
        model.fit(x, y, verbose=0)
        loss, bits = model.evaluate(x, y, verbose=0)
        log_prob = np.array(head.log_prob(model(x), y, MASK))
        nats = -log_prob.sum() / MASK.sum()
        np.testing.assert_allclose(loss, nats, rtol=1e-5)
        np.testing.assert_allclose(bits, nats / np.log(2), rtol=1e-5)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_allclose(
            loaded.evaluate(x, y, verbose=0), [loss, bits], rtol=1e-6
        )
        assert [v.path for v in loaded.optimizer.variables] == [
            v.path for v in model.optimizer.variables
        ]
        for ours, theirs in zip(
            loaded.optimizer.variables, model.optimizer.variables, strict=True
        ):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6)

    def test_config(self):
        metric = BitsPerStep(GaussianHead(3, clip_mean=2.0), name="bits")
        config = keras.saving.serialize_keras_object(metric)
        again = keras.saving.deserialize_keras_object(config)
        assert again.get_config() == metric.get_config()
        assert BitsPerStep.from_config(BitsPerStep().get_config())._fn is None

    def test_bad_use(self):
        with pytest.raises(ValueError, match="Expected `head` .* Received"):
            BitsPerStep("categorical")
        with pytest.raises(ValueError, match="without.* Received: no head"):
            BitsPerStep().update_state(self.NATS, MASK)
        with pytest.raises(ValueError, match="with a head .* Received: a head"):
            BitsPerStep(GaussianHead(3)).update_state(self.NATS)


class TestActiveUnits:
    # Far from 0, where a difference of squares loses all digits.
    MEANS = (
        100
        + np.random.default_rng(0).normal(size=(3, 5, 4)) * [1, 0.2, 0.05, 0]
    ).astype("float32")

    def test_is_the_variance_over_the_data(self):
        metric = ActiveUnits(4)
        means = np.where(MASK[..., None], self.MEANS, np.nan)
        metric.update_state(means[:1], MASK[:1])
        update_compiled(metric, means[1:], sample_weight=MASK[1:])
        variances = self.MEANS[MASK].astype("float64").var(axis=0)
        np.testing.assert_allclose(
            metric.variances(), variances, rtol=1e-4, atol=1e-7
        )
        assert float(metric.result()) == (variances > 0.01).sum() == 2
        metric.reset_state()
        assert float(metric.result()) == 0

    def test_one_batch_is_many(self):
        whole, parts = ActiveUnits(4), ActiveUnits(4)
        whole.update_state(self.MEANS)
        for row in self.MEANS:
            for means in row:
                parts.update_state(means)
        np.testing.assert_allclose(
            parts.variances(), whole.variances(), rtol=1e-4, atol=1e-7
        )

    def test_weights_count(self):
        weighted, repeated = ActiveUnits(4), ActiveUnits(4)
        weighted.update_state(self.MEANS[:, 0], np.array([1, 2, 0]))
        repeated.update_state(self.MEANS[[0, 1, 1], 0])
        np.testing.assert_allclose(
            weighted.variances(), repeated.variances(), rtol=1e-5, atol=1e-9
        )

    def test_without_data_nothing_is_active(self):
        metric = ActiveUnits(4)
        assert float(metric.result()) == 0
        metric.update_state(self.MEANS, np.zeros((3, 5), bool))
        assert float(metric.result()) == 0
        metric.update_state(self.MEANS)
        variances = self.MEANS.astype("float64").var(axis=(0, 1))
        np.testing.assert_allclose(
            metric.variances(), variances, rtol=1e-4, atol=1e-7
        )

    def test_stays_exact_over_many_updates(self):
        metric = ActiveUnits(1)
        random = np.random.default_rng(2)
        data = 30 + 0.09 * random.normal(size=(100, 64, 1)).astype("float32")
        for batch in data:
            metric.update_state(batch)
        expected = data.astype("float64").var()
        np.testing.assert_allclose(metric.variances(), [expected], rtol=1e-3)

    def test_threshold(self):
        metric = ActiveUnits(4, threshold=0.5)
        metric.update_state(self.MEANS)
        assert float(metric.result()) == 1

    def test_nan_is_not_hidden(self):
        metric = ActiveUnits(4)
        means = self.MEANS.copy()
        means[0, 0, 0] = np.nan
        metric.update_state(means)
        assert np.isnan(metric.result())

    def test_half_precision_means(self):
        metric = ActiveUnits(4)
        metric.update_state(ops.cast(self.MEANS - 100, "float16"))
        assert float(metric.result()) == 2

    def test_config(self):
        metric = ActiveUnits(4, threshold=0.2, name="active")
        config = keras.saving.serialize_keras_object(metric)
        again = keras.saving.deserialize_keras_object(config)
        assert again.get_config() == metric.get_config()
        assert again.latent_dim == 4

    @pytest.mark.parametrize(
        ("use", "match"),
        [
            (lambda m: ActiveUnits(0), "latent_dim=0"),
            (lambda m: ActiveUnits(2.0), "latent_dim=2.0"),
            (lambda m: ActiveUnits(2, -1), "threshold=-1"),
            (lambda m: ActiveUnits(3).update_state(m), r"shape=\(3, 5, 4\)"),
            (
                lambda m: ActiveUnits(4).update_state(m, np.ones(3)),
                r"sample_weight of shape \(3,\)",
            ),
        ],
    )
    def test_bad_arguments(self, use, match):
        with pytest.raises(ValueError, match=f"Expected .*Received: {match}"):
            use(self.MEANS)


def test_mean_discrepancy_does_not_see_rounding():
    """First states are the same for all rows, but for how they are summed."""
    a = np.ones((64, 1, 3), "float32")
    assert abs(float(mean_discrepancy(a, a * (1 + 1e-6)))) < 1e-4
    assert float(mean_discrepancy(a, a + 0.1)) > 1.9


def test_mean_discrepancy_sees_where_samples_differ():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 2000, 3, 2)).astype("float32")
    assert abs(float(mean_discrepancy(a, b))) < 0.02
    b[:, 2] += 2
    found = float(mean_discrepancy(a, b))
    assert found > 0.1
    # Only the last step differs.
    mask = np.tile([True, True, False], (2000, 1))
    assert abs(float(mean_discrepancy(a, b, mask))) < 0.02
    b[:, 2] = np.nan
    assert abs(float(mean_discrepancy(a, b, mask))) < 0.02
