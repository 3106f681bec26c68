"""`VariationalWalkback`: which data and settings fit, and what weights do."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit.layers import BernoulliTransition
from keras_seqcredit.layers import GaussianTransition
from keras_seqcredit.models import VariationalWalkback
from keras_seqcredit.models import transition_mlp
from tests.gradients import FASTEST

QUICKLY = {"jit_compile": FASTEST == "jit", "run_eagerly": FASTEST == "eager"}


def make_points(num=6):
    return np.random.default_rng(0).normal(size=(num, 2)).astype("float32")


def make_model(num_steps=3, **arguments):
    transition = GaussianTransition(keras.layers.Dense(2), scale=0.5)
    return VariationalWalkback(transition, num_steps, seed=1, **arguments)


def to_numpy(x):
    return ops.convert_to_numpy(x)


# Wrong data.


class Batches(keras.utils.PyDataset):
    def __init__(self, x):
        super().__init__()
        self.x = x

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return (self.x[index : index + 1],)


def data_set(x):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((x,)).batch(1)


WAYS = {
    "fit": lambda model, good, bad: model.fit(bad),
    "fit, PyDataset": lambda model, good, bad: model.fit(Batches(bad)),
    "fit, tf.data": lambda model, good, bad: model.fit(data_set(bad)),
    "validation": lambda model, good, bad: model.fit(
        good, validation_data=(bad, None)
    ),
    "validation, PyDataset": lambda model, good, bad: model.fit(
        good, validation_data=Batches(bad)
    ),
    "evaluate": lambda model, good, bad: model.evaluate(bad),
    "evaluate, tf.data": lambda model, good, bad: model.evaluate(data_set(bad)),
    "train_on_batch": lambda model, good, bad: model.train_on_batch(bad),
    "test_on_batch": lambda model, good, bad: model.test_on_batch(bad),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["binary", "images"])
def test_wrong_data_are_refused_before_training(kind, way):
    if kind == "binary":
        transition = BernoulliTransition(keras.layers.Dense(2))
        model = VariationalWalkback(transition, 2)
        message = "can make, such as 0 and 1. Received: "
    else:
        model = make_model(2, dequantize=True)
        message = "integers from 0 to 255 for `dequantize=True`. Received"
    model.compile("sgd")
    model.build((None, 2))
    good, bad = np.float32([[0, 1]]), np.float32([[0.5, 1], [0, 1]])
    with pytest.raises(ValueError, match=message):
        WAYS[way](model, good, bad)
    assert int(model.updates.value) == 0


def test_no_batch_is_drawn_where_any_data_will_do():
    class Drawn(Batches):
        count = 0

        def __getitem__(self, index):
            self.count += 1
            return super().__getitem__(index)

    model = make_model()
    model.build((None, 2))
    data = Drawn(make_points())
    assert model._checked(data) is data
    assert data.count == 0


# Which steps and temperatures there can be.


def test_data_that_vary_by_rounding_only():
    model = make_model("auto")
    for x in (0.1, 3.3e4):
        with pytest.raises(ValueError, match="a largest variance of 0.0"):
            model.adapt(np.full((9, 2), x))
    # One feature that varies is enough.
    model.adapt(np.full((9, 2), 0.1) + [[0.0, 1.0]] * np.arange(9)[:, None])
    assert model.num_steps == 5


def test_steps_from_images_and_a_temperature():
    transition = GaussianTransition(keras.layers.Dense(2), scale=0.125)
    model = VariationalWalkback(
        transition, "auto", initial_temperature=0.5, dequantize=True
    )
    # A variance of 1/16 of what the chain sees, 8 times that of the operator.
    model.adapt(np.array([[0, 9], [128, 9]], "uint8"))
    assert model.num_steps == 3


def test_an_adaptation_that_fails_leaves_the_steps_open():
    network = transition_mlp(2, (4,), num_steps=3)
    model = VariationalWalkback(
        GaussianTransition(network, num_steps=3), "auto"
    )
    with pytest.raises(ValueError, match="an operator with num_steps=3"):
        model.adapt(make_points())
    assert model.num_steps == "auto"
    model.adapt(0.02 * make_points())
    assert model.num_steps <= 3


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_steps": 200},
        {"num_steps": 200, "temperature_factor": 0.5},
        {"initial_temperature": 1e39},
    ],
)
def test_temperatures_that_float32_does_not_have(arguments):
    with pytest.raises(ValueError, match="between 1e-37 and 1e38, the range"):
        make_model(**arguments)


def test_temperatures_of_integers():
    model = make_model(100, temperature_factor=2)
    np.testing.assert_allclose(model.temperatures, 2.0 ** np.arange(100))


@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, np.float64, np.longdouble, np.int64]
)
def test_numbers_of_numpy(dtype):
    model = make_model(
        temperature_factor=dtype(2), initial_temperature=dtype(1)
    )
    assert type(model.get_config()["temperature_factor"]) in (int, float)
    for wrong in ("2", None, [2.0], float("nan")):
        with pytest.raises(ValueError, match="`temperature_factor` to be a po"):
            make_model(temperature_factor=wrong)
    model.build((None, 2))
    with pytest.raises(ValueError, match="positive number. .*temperature=inf"):
        model.walk(make_points(), num_steps=2, temperature=float("inf"))


@pytest.mark.parametrize("online", [False, True])
def test_activity_regularizers_are_refused_before_training(online):
    layer = keras.layers.Dense(2, activity_regularizer="l2", name="regular")
    model = VariationalWalkback(
        GaussianTransition(keras.Sequential([layer]), scale=0.5),
        2,
        online=online,
    )
    model.compile("sgd", **QUICKLY)
    for train in (model.fit, model.train_on_batch):
        with pytest.raises(
            ValueError, match="without activity regularizers.*'regular' with"
        ):
            train(make_points())


@pytest.mark.parametrize("kind", ["binary", "images"])
def test_wrong_data_of_a_later_batch_end_training_there(kind):
    if kind == "binary":
        transition = BernoulliTransition(keras.layers.Dense(2))
        model = VariationalWalkback(transition, 2)
    else:
        model = make_model(2, dequantize=True)
    model.compile("sgd", **QUICKLY)
    x = np.ones((3, 2), "float32")
    x[2, 1] = -1
    with pytest.raises(ValueError, match="loss of batch 2 .* is not finite"):
        model.fit(Batches(x), shuffle=False, verbose=0)


class MayAdd(keras.layers.Layer):
    def __init__(self, adds):
        super().__init__()
        self.adds = adds

    def call(self, x, training=False):
        if training and self.adds:
            self.add_loss(ops.mean(x))
        return x


@pytest.mark.parametrize("adds", [False, True])
def test_layers_that_add_losses_are_refused_before_training(adds):
    dense = keras.layers.Dense(2, kernel_regularizer="l2")
    network = keras.Sequential([dense, MayAdd(adds)])
    model = VariationalWalkback(GaussianTransition(network, scale=0.5), 2)
    model.compile("sgd", **QUICKLY)
    if not adds:
        model.fit(make_points(), verbose=0)
        return
    with pytest.raises(ValueError, match="layers add no losses.*1 times"):
        model.fit(make_points())


# Weights of points.


@pytest.mark.parametrize("online", [False, True])
@pytest.mark.parametrize("column", [False, True])
def test_points_of_weight_0_do_not_move_the_prior(online, column):
    # An operator that hardly moves: the last states are the data.
    network = keras.layers.Dense(2, kernel_initializer="zeros")
    model = VariationalWalkback(
        GaussianTransition(network, alpha=1.0, scale=1e-5),
        2,
        online=online,
        seed=0,
    )
    model.compile(keras.optimizers.SGD(0.0), **QUICKLY)
    x = np.float32([[1, 2], [3, 6], [100, 100]])
    weight = np.float32([1, 3, 0])
    given = weight[:, None] if column else weight
    # Keras drops the weights of points without targets.
    model.train_on_batch(x, x, sample_weight=given)
    np.testing.assert_allclose(model.prior_mean.value, [2.5, 5], rtol=1e-4)
    expected = [0.75, 3.0]
    np.testing.assert_allclose(model.prior_variance.value, expected, rtol=1e-3)
    model.train_on_batch(x, x, sample_weight=0 * given)
    np.testing.assert_allclose(model.prior_mean.value, [2.5, 5], rtol=1e-4)
    assert int(model.updates.value) == 1


# Likelihoods.


@pytest.mark.parametrize("name", ["log_likelihood", "log_likelihood_bound"])
def test_likelihoods_are_by_seed(name):
    model = make_model()
    x = make_points()
    model.build(x.shape)
    estimate = functools.partial(getattr(model, name), num_samples=2)
    estimate = functools.partial(estimate, batch_size=4)
    state = to_numpy(model.seed_generator.state.value)
    found = estimate(x, seed=3)
    np.testing.assert_array_equal(found, estimate(x, seed=3))
    generator = keras.random.SeedGenerator(3)
    np.testing.assert_array_equal(found, estimate(x, seed=generator))
    assert (found != estimate(x, seed=4)).all()
    np.testing.assert_array_equal(state, model.seed_generator.state.value)
    assert (estimate(x) != estimate(x)).all()
    assert (state != to_numpy(model.seed_generator.state.value)).any()
    assert estimate(x[:0]).shape == (0,)


def test_points_are_denoised_at_the_initial_temperature():
    model = VariationalWalkback(
        BernoulliTransition(keras.layers.Dense(2)), 2, initial_temperature=4.0
    )
    model.build((None, 2))
    x = np.float32([[0, 1], [1, 1]])
    logits = to_numpy(model.transition(x))
    expected = 1 / (1 + np.exp(-logits / 4))
    np.testing.assert_allclose(model.denoise(x), expected, rtol=1e-5)
