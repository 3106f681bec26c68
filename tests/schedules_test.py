"""Schedules by hand, free bits as the paper has them."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit import layers
from keras_seqcredit import models
from keras_seqcredit import schedules
from tests.gradients import BACKEND
from tests.gradients import value_and_gradients
from tests.on_one_backend import only_on

SCHEDULES = [
    schedules.ConstantSchedule(0.5),
    schedules.LinearSchedule(0.2, 1.0, steps=16000),
    schedules.CyclicalSchedule(0.0, 1.0, steps=40, num_cycles=3, ratio=0.7),
]
RISING = keras.optimizers.schedules.PolynomialDecay(
    0.2, decay_steps=8, end_learning_rate=1.0
)
SCHEDULES.append(schedules.KerasSchedule(RISING))
OBJECTS = [*SCHEDULES, schedules.FreeBits(0.5, per="step", average=False)]


def compiled(function):
    if BACKEND == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=True, autograph=False)


def test_linear_schedule():
    schedule = schedules.LinearSchedule(0.2, 1.0, steps=16000)
    values = [float(schedule(t)) for t in (0, 1, 8000, 16000, 10**6)]
    np.testing.assert_allclose(values, [0.2, 0.20005, 0.6, 1, 1], rtol=1e-6)
    assert values[-1] == 1


def test_schedule_that_falls():
    schedule = schedules.LinearSchedule(1.0, 0.1, steps=10)
    values = [float(schedule(t)) for t in (0, 5, 10, 99)]
    np.testing.assert_allclose(values, [1, 0.55, 0.1, 0.1], rtol=1e-6)


def test_cyclical_schedule_is_equation_6():
    steps, cycles, ratio = 40, 3, 0.7
    schedule = schedules.CyclicalSchedule(0.0, 2.0, steps, cycles, ratio)
    period = int(np.ceil(steps / cycles))
    for t in range(steps):
        tau = t % period / period
        expected = 2 * (tau / ratio if tau <= ratio else 1)
        assert float(schedule(t)) == pytest.approx(expected, rel=1e-5)
    assert float(schedule(steps)) == float(schedule(10**6)) == 2


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_value_is_float32_and_compiles(schedule):
    run = compiled(schedule)
    # Keras counts iterations in int64 on TensorFlow.
    for dtype in ("int32", "int64" if BACKEND == "tensorflow" else "int32"):
        for step in (3, 30):
            value = run(ops.convert_to_tensor(step, dtype=dtype))
            assert keras.backend.standardize_dtype(value.dtype) == "float32"
            expected = float(schedule(step))
            assert float(value) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("schedule", OBJECTS, ids=lambda x: type(x).__name__)
def test_config(schedule):
    config = keras.saving.serialize_keras_object(schedule)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(schedule)
    assert again.get_config() == schedule.get_config()


def test_get():
    assert float(schedules.get(0.3)(7)) == pytest.approx(0.3)
    for dtype in (np.float16, np.float32, np.float64, np.int64, np.longdouble):
        assert float(schedules.get(dtype(2))(7)) == 2
    schedule = SCHEDULES[1]
    assert schedules.get(schedule) is schedule
    config = keras.saving.serialize_keras_object(schedule)
    assert schedules.get(config).get_config() == schedule.get_config()


@pytest.mark.parametrize(
    "identifier",
    ["linear", None, True, float("nan"), float("inf"), [1.0], lambda t: t],
)
def test_get_refuses(identifier):
    with pytest.raises(ValueError, match="Expected a weight .* Received"):
        schedules.get(identifier)


def test_get_refuses_what_is_saved_but_no_schedule():
    config = keras.saving.serialize_keras_object(schedules.FreeBits(1.0))
    with pytest.raises(ValueError, match="Expected a weight"):
        schedules.get(config)


@pytest.mark.parametrize(
    ("create", "name"),
    [
        (lambda: schedules.ConstantSchedule("high"), "value"),
        (lambda: schedules.ConstantSchedule(float("nan")), "value"),
        (lambda: schedules.LinearSchedule(None, 1.0, 5), "start"),
        (lambda: schedules.LinearSchedule(0.0, 1.0, 0), "steps"),
        (lambda: schedules.LinearSchedule(0.0, 1.0, 2.5), "steps"),
        (lambda: schedules.LinearSchedule(0.0, 1.0, True), "steps"),
        (lambda: schedules.CyclicalSchedule(0.0, 1.0, 5, 0), "num_cycles"),
        (lambda: schedules.CyclicalSchedule(0.0, 1.0, 5, 6), "num_cycles"),
        (lambda: schedules.CyclicalSchedule(0.0, 1.0, 5, 1, 0.0), "ratio"),
        (lambda: schedules.CyclicalSchedule(0.0, 1.0, 5, 1, 1.5), "ratio"),
        (lambda: schedules.FreeBits(-0.1), "nats"),
        (lambda: schedules.FreeBits(1.0, per="batch"), "per"),
    ],
)
def test_bad_arguments(create, name):
    with pytest.raises(ValueError, match=f"Expected `{name}` .*Received"):
        create()


class TestFreeBits:
    KL = np.random.default_rng(0).exponential(size=(3, 4, 5)).astype("float32")
    MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 1, 1]], bool)

    def test_is_the_maximum_of_each_group_as_in_the_paper(self):
        free = schedules.FreeBits(1.0)(self.KL)
        assert free.shape == (3, 4)
        expected = np.maximum(1.0, self.KL.mean((0, 1))).sum()
        assert np.mean(free) == pytest.approx(expected, rel=1e-6)

    def test_leaves_out_padding(self):
        kl = np.where(self.MASK[..., None], self.KL, np.nan)
        free = np.array(schedules.FreeBits(1.0)(kl, self.MASK))
        assert (free[~self.MASK] == 0).all()
        expected = np.maximum(1.0, self.KL[self.MASK].mean(0)).sum()
        assert free[self.MASK].mean() == pytest.approx(expected, rel=1e-6)

    def test_steps_as_groups(self):
        free = schedules.FreeBits(5.0, per="step", average=False)(self.KL)
        expected = np.maximum(5.0, self.KL.sum(-1))
        np.testing.assert_allclose(free, expected, rtol=1e-6)
        free = schedules.FreeBits(1.0, per="step")(self.KL)
        np.testing.assert_allclose(free, self.KL.sum(-1), rtol=1e-6)
        free = schedules.FreeBits(99.0, per="step")(self.KL)
        np.testing.assert_allclose(free, np.full((3, 4), 99.0))

    def test_none_is_the_kl(self):
        free = schedules.FreeBits(0.0)(self.KL)
        np.testing.assert_allclose(free, self.KL.sum(-1), rtol=1e-6)

    def test_below_the_threshold_there_is_no_gradient(self):
        free_bits = schedules.FreeBits(1.0)

        def loss(arrays):
            return ops.mean(free_bits(arrays[0], self.MASK))

        _, (gradient,) = value_and_gradients(loss, [self.KL], "jit")
        above = self.KL[self.MASK].mean(0) > 1
        assert 0 < above.sum() < len(above)
        expected = self.MASK[..., None] * above / self.MASK.size
        np.testing.assert_allclose(gradient, expected, rtol=1e-6)

    def test_nan_is_not_hidden(self):
        kl = self.KL.copy()
        kl[0, 0, 0] = np.nan
        assert np.isnan(schedules.FreeBits(1.0)(kl)).any()


def test_counter_is_saved_and_goes_on(tmp_path):
    @keras.saving.register_keras_serializable("test")
    class WeightedPenalty(keras.layers.Layer):
        def __init__(self, weight, **kwargs):
            super().__init__(**kwargs)
            self.weight = schedules.get(weight)
            self.updates = self.add_weight(
                shape=(), dtype="int32", trainable=False, name="updates"
            )

        def call(self, inputs, training=False):
            weight = self.weight(self.updates.value)
            self.add_loss(weight * ops.mean(ops.square(inputs)))
            if training:
                self.updates.assign_add(1)
            return inputs

        def get_config(self):
            weight = keras.saving.serialize_keras_object(self.weight)
            return {**super().get_config(), "weight": weight}

    inputs = keras.Input((1,))
    penalty = WeightedPenalty(schedules.LinearSchedule(0.0, 1.0, steps=10))
    model = keras.Model(inputs, penalty(inputs))
    model.compile("sgd", None, jit_compile=True)
    x = np.ones((2, 1), "float32")
    loss = [
        model.fit(x, batch_size=2, verbose=0).history["loss"][0]
        for _ in range(3)
    ]
    np.testing.assert_allclose(loss, [0, 0.1, 0.2], rtol=1e-6)
    model.save(tmp_path / "model.keras")
    model = keras.saving.load_model(tmp_path / "model.keras")
    loss = model.fit(x, batch_size=2, verbose=0).history["loss"]
    np.testing.assert_allclose(loss, [0.3], rtol=1e-6)


def test_a_schedule_of_keras_is_a_weight():
    schedule = schedules.get(RISING)
    values = [float(schedule(step)) for step in (0, 4, 8, 99)]
    np.testing.assert_allclose(values, [0.2, 0.6, 1.0, 1.0], rtol=1e-6)
    with pytest.raises(ValueError, match="Received: schedule=0.5"):
        schedules.KerasSchedule(0.5)


def test_a_function_is_told_what_to_be():
    with pytest.raises(ValueError, match="subclass of `Schedule`.*Received"):
        schedules.get(lambda step: 0.5)


@only_on("jax")
def test_a_model_trains_by_a_schedule_of_keras_and_keeps_it(tmp_path):
    x = np.random.default_rng(0).normal(size=(4, 5, 2)).astype("float32")
    model = models.ZForcing(
        layers.StochasticRNN(3, latent_dim=2, return_sequences=True),
        layers.GaussianHead(2),
        kl_weight=RISING,
    )
    model.compile("adam")
    model.fit(x, epochs=4, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for found in (model, again):
        weight = found.kl_weight(found.updates.value)
        assert float(weight) == pytest.approx(0.6)


def owners():
    def gaussian():
        return layers.GaussianHead(1)

    def generator():
        return models.AutoregressiveRNN(keras.layers.GRUCell(2), gaussian())

    rnn = layers.StochasticRNN(3, latent_dim=2, return_sequences=True)
    return [
        (rnn, "kl_weight"),
        (rnn, "auxiliary_weight"),
        (layers.AuxiliaryStateLoss(), "weight"),
        (models.ZForcing(rnn, gaussian()), "kl_weight"),
        (models.ZForcing(rnn, gaussian()), "auxiliary_weight"),
        (models.ZForcing(rnn, gaussian()), "backward_weight"),
        (generator(), "sampling_probability"),
        (models.ProfessorForcing(generator()), "adversarial_weight"),
    ]


def test_a_weight_that_is_assigned_says_what_to_do():
    for owner, name in owners():
        before = getattr(owner, name)
        message = rf"`{name}=LinearSchedule.*Received: {name}=0.5"
        with pytest.raises(AttributeError, match=message):
            setattr(owner, name, 0.5)
        assert getattr(owner, name) is before
