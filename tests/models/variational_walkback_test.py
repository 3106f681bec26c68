"""`VariationalWalkback`: its objective, its training, what it can do then."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.layers import BernoulliTransition
from keras_seqcredit.layers import GaussianTransition
from keras_seqcredit.models import VariationalWalkback
from keras_seqcredit.models import transition_mlp
from keras_seqcredit.models import transition_unet
from keras_seqcredit.models.markov_chain import MarkovChain
from keras_seqcredit.models.walkback_steps import WalkbackSteps
from keras_seqcredit.models.walkback_steps import can_score_in_walk
from keras_seqcredit.seeds import FixedSeed
from tests.gradients import BACKEND
from tests.gradients import FASTEST
from tests.gradients import value_and_gradients
from tests.reference import walkback as reference

# How a training step may be run. On JAX training is slow without compilation.
COMPILE = {
    "jit": {"jit_compile": True},
    "eager": {"jit_compile": False, "run_eagerly": True},
}
if BACKEND == "tensorflow":
    COMPILE["graph"] = {"jit_compile": False}
QUICKLY = COMPILE["graph" if BACKEND == "tensorflow" else "jit"]
ONE_BATCH = COMPILE[FASTEST]


def make_points(num=6, features=2):
    random = np.random.default_rng(0)
    return random.normal(size=(num, features)).astype("float32")


def make_model(num_steps=3, features=2, **arguments):
    network = keras.Sequential(
        [
            keras.Input((features,)),
            keras.layers.Dense(5, activation="tanh"),
            keras.layers.Dense(2 * features),
        ]
    )
    return VariationalWalkback(
        GaussianTransition(network), num_steps, seed=1, **arguments
    )


def to_numpy(x):
    return ops.convert_to_numpy(x)


# The objective and its gradient.


def known_noise(shape, seed):
    """Noise that every backend and every way to run it agrees on."""
    key = ops.cast(seed.next()[0], "float32")
    count = ops.cumsum(ops.reshape(ops.ones(shape), (-1,)))
    return ops.reshape(ops.sin((1.3 + 0.37 * key) * count), shape)


@pytest.fixture
def known_keys(monkeypatch):
    """Makes the keys 0, 1, 2 ... the same everywhere."""

    def draw(seed, num, like):
        return ops.cast(np.arange(num)[:, None] * [1, 1], like.state.dtype)

    monkeypatch.setattr(FixedSeed, "draw", staticmethod(draw))


def known_uniform(shape, seed):
    return 0.5 + 0.5 * known_noise(shape, seed)


def make_operator(kind):
    """An operator, its weights as the reference has them, and that."""
    states, steps = keras.Input((2,)), keras.Input((), dtype="int32")
    learned = kind in ("learned", "conditioned")
    hidden = keras.layers.Dense(5)
    rows = keras.layers.Embedding(3, 5)
    last = keras.layers.Dense(4 if learned else 2)
    x = hidden(states)
    if kind == "conditioned":
        x = x + rows(steps)
    outputs = last(ops.tanh(x))
    layers = [hidden, last]
    if kind == "conditioned":
        network = keras.Model([states, steps], outputs)
        operator = GaussianTransition(network, num_steps=3)
        layers.append(rows)
    elif kind == "binary":
        operator = BernoulliTransition(keras.Model(states, outputs))
    else:
        operator = GaussianTransition(
            keras.Model(states, outputs), scale="learned" if learned else 0.6
        )
    family = {
        "binary": reference.Bernoulli(),
        "fixed": reference.Gaussian(0.6),
    }.get(kind, reference.Gaussian())
    operator.noise = known_uniform if kind == "binary" else known_noise
    weights = [w for layer in layers for w in layer.trainable_weights]
    return operator, weights, family


WALKS = [(False, None), (False, 2), (False, "auto"), (True, None)]


@pytest.mark.parametrize(
    ("kind", "online", "steps_per_call", "how"),
    [("learned", *walk, how) for walk in WALKS for how in COMPILE]
    + [
        (kind, *walk, FASTEST)
        for kind in ("fixed", "binary", "conditioned")
        for walk in WALKS[1:]
    ],
)
@pytest.mark.usefixtures("known_keys")
def test_training_equals_a_naive_loop(kind, online, steps_per_call, how):
    rate = 0.02
    operator, variables, family = make_operator(kind)
    model = VariationalWalkback(
        operator,
        2,
        extra_steps=1,
        temperature_factor=1.5,
        online=online,
        momentum=0.9,
        steps_per_call=steps_per_call,
        seed=1,
    )
    x = make_points()
    prior_mean = [0.2, -0.3]
    if kind == "binary":
        x = (x > 0).astype("float32")
        prior_mean = [0.2, 0.7]
    model.build(x.shape)
    assert len(variables) == len(model.trainable_variables)
    random = np.random.default_rng(1)
    for variable in variables:
        variable.assign(0.5 * random.normal(size=variable.shape))
    model.prior_mean.assign(prior_mean)
    model.prior_variance.assign([2.0, 3.0])
    model.updates.assign(2)
    before = [to_numpy(w.value) for w in variables]
    model.compile(keras.optimizers.SGD(rate), **COMPILE[how])
    logs = model.train_on_batch(x, return_dict=True)

    temperatures = [1.0, 1.0, 1.5]
    noise = [
        to_numpy(operator.noise(x.shape, FixedSeed(np.array([t, t]))))
        for t in range(3)
    ]
    after, states, forward, reverse = naive_training(
        family, before, x, noise, temperatures, online, rate
    )
    found = [to_numpy(w.value) for w in variables]
    for a, b, start in zip(found, after, before, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
        assert np.abs(b - start).max() > 1e-3

    prior = np.float32(prior_mean), np.sqrt(np.float32([2.0, 3.0]))
    last = np.stack(states[-1])
    bound = [
        family.log_prior(s, *prior)
        + sum(step[b] for step in reverse)
        - sum(step[b] for step in forward)
        for b, s in enumerate(last)
    ]
    sizes = np.sqrt(np.square(np.diff(np.stack(states), axis=0)).mean(-1))
    weights = after if online else before
    expected = {
        "loss": reference.loss(reverse),
        "bound": reference.mean(bound),
        "reverse_log_prob": -reference.loss(reverse) / 3,
        "step_size": sizes.mean(),
        "acceptance": reference.acceptance(
            family, weights, x, noise[0], 1.5, 2, prior
        ),
    }
    assert logs.keys() == expected.keys()
    for name, value in expected.items():
        assert logs[name] == pytest.approx(float(value), rel=1e-3), name

    # Two batches before this one: it counts for a third.
    np.testing.assert_allclose(
        model.prior_mean.value,
        2 / 3 * prior[0] + last.mean(0) / 3,
        rtol=1e-3,
        atol=1e-5,
    )
    second = 2 / 3 * (prior[1] ** 2 + prior[0] ** 2) + (last**2).mean(0) / 3
    np.testing.assert_allclose(
        model.prior_variance.value + to_numpy(model.prior_mean.value) ** 2,
        second,
        rtol=1e-3,
    )
    assert int(model.updates.value) == 3
    assert int(model.optimizer.iterations) == (3 if online else 1)


def test_steps_are_scored_in_the_walk_where_that_is_the_same(monkeypatch):
    def scores(network, shape=(2,), **arguments):
        transition = GaussianTransition(network, scale=0.5, **arguments)
        model = VariationalWalkback(transition, 3)
        model.build((None, *shape))
        return can_score_in_walk(model)

    def dense(**arguments):
        return keras.layers.Dense(2, **arguments)

    class Other(keras.layers.Dense):
        pass

    assert scores(dense())
    assert scores(transition_mlp(2, (4,), learned_scale=False))
    steps = transition_mlp(2, (4,), learned_scale=False, num_steps=3)
    assert scores(steps, num_steps=3)
    assert scores(keras.layers.Conv2D(1, 1), (4, 4, 1))
    for layer in (
        keras.layers.Dropout(0.5),
        keras.layers.BatchNormalization(),
        dense(kernel_regularizer="l2"),
        Other(2),
    ):
        assert not scores(keras.Sequential([dense(), layer]))
    monkeypatch.setattr(backend, "runs_on_cpu", lambda: False)
    assert not scores(dense())


@pytest.mark.parametrize(
    ("how", "knows_step"),
    [(how, False) for how in COMPILE if how != "eager"] + [(FASTEST, True)],
)
@pytest.mark.usefixtures("known_keys")
def test_a_unet_learns_the_same_in_the_walk_as_after_it(how, knows_step):
    num_steps = 3 if knows_step else None

    def trained(steps_per_call):
        keras.utils.set_random_seed(0)
        network = transition_unet((4, 4, 1), (8,), num_steps=num_steps)
        transition = GaussianTransition(network, num_steps=num_steps)
        transition.noise = known_noise
        model = VariationalWalkback(
            transition, 3, steps_per_call=steps_per_call, seed=1
        )
        model.build((None, 4, 4, 1))
        # The last kernel starts at zero, and hands no gradient on.
        for index, weight in enumerate(model.trainable_variables):
            weight.assign(keras.random.normal(weight.shape, 0, 0.3, seed=index))
        model.compile(keras.optimizers.SGD(0.01), **COMPILE[how])
        x = np.random.default_rng(0).normal(size=(4, 4, 4, 1))
        before = [to_numpy(w.value) for w in model.trainable_variables]
        logs = model.train_on_batch(x.astype("float32"), return_dict=True)
        after = [to_numpy(w.value) for w in model.trainable_variables]
        return logs, [a - b for a, b in zip(after, before, strict=True)]

    (logs, updates), (expected, others) = trained("auto"), trained(None)
    assert logs == pytest.approx(expected, rel=1e-4)
    # Biases before a normalization get rounding errors only.
    largest = max(np.abs(b).max() for b in others)
    for a, b in zip(updates, others, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * largest)


@pytest.mark.usefixtures("known_keys")
def test_convolutions_learn_the_same_online_if_they_are_not_known(monkeypatch):
    def trained(known):
        if not known:
            monkeypatch.setattr(WalkbackSteps, "convolves", False)
        keras.utils.set_random_seed(0)
        layers = keras.layers.Conv2D(2, 2, padding="same"), keras.layers.ReLU()
        network = keras.Sequential([keras.Input((3, 3, 1)), *layers])
        transition = GaussianTransition(network)
        transition.noise = known_noise
        model = VariationalWalkback(transition, 3, online=True, seed=1)
        assert WalkbackSteps(model).convolves == known
        model.compile(keras.optimizers.SGD(0.05), **COMPILE["jit"])
        x = np.random.default_rng(0).normal(size=(4, 3, 3, 1))
        logs = model.train_on_batch(x.astype("float32"), return_dict=True)
        assert int(model.optimizer.iterations) == 3
        return logs, [to_numpy(w.value) for w in model.weights]

    (logs, weights), (expected, after) = trained(True), trained(False)
    assert logs == pytest.approx(expected, rel=1e-4)
    for a, b in zip(weights, after, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_convolutions_are_found():
    assert not WalkbackSteps(make_model()).convolves
    network = transition_unet((4, 4, 1), filters=(8, 8))
    model = VariationalWalkback(GaussianTransition(network), 2)
    assert WalkbackSteps(model).convolves


def naive_training(family, weights, x, noise, temperatures, online, rate):
    """Gradient descent on the whole walk, or after each of its steps."""

    def walked(weights, x, piece):
        return reference.walk(
            family, weights, x, noise[piece], temperatures[piece], piece.start
        )

    def update(weights, x, piece):
        found = walked([ops.convert_to_tensor(w) for w in weights], x, piece)
        _, gradients = value_and_gradients(
            lambda w: reference.loss(walked(w, x, piece)[2]), weights, FASTEST
        )
        pairs = zip(weights, gradients, strict=True)
        return [w - rate * g for w, g in pairs], *arrays(found)

    if not online:
        return update(weights, x, slice(0, len(temperatures)))
    states, forward, reverse = [list(x)], [], []
    for t in range(len(temperatures)):
        weights, s, there, here = update(
            weights, np.stack(states[-1]), slice(t, t + 1)
        )
        states.append(s[1])
        forward += there
        reverse += here
    return weights, states, forward, reverse


def arrays(lists):
    return [[[np.asarray(x) for x in row] for row in rows] for rows in lists]


class LinearGaussian(VariationalWalkback):
    """f(s) = theta s in one dimension, alpha 0.5, standard deviation 0.6."""

    def __init__(self, num_steps=1, theta=0.0, **arguments):
        network = keras.layers.Dense(1, use_bias=False)
        super().__init__(
            GaussianTransition(network, alpha=0.5, scale=0.6),
            num_steps,
            seed=1,
            **arguments,
        )
        self.build((None, 1))
        network.kernel.assign([[theta]])

    @property
    def theta(self):
        return self.transition.network.kernel.value[0, 0]


class Mistaken(LinearGaussian):
    """Scores the state before under the operator at the state before."""

    @property
    def chain(self):
        return MistakenChain(self.transition)


class MistakenChain(MarkovChain):
    def go_back(self, before, after, *args, **kwargs):
        del after
        return super().go_back(before, before, *args, **kwargs)


@pytest.mark.parametrize(
    ("kind", "arguments", "expected"),
    [
        (LinearGaussian, {}, 0.6),
        (LinearGaussian, {"steps_per_call": None}, 0.6),
        (LinearGaussian, {"online": True}, 0.6),
        (Mistaken, {}, 1.0),
        (Mistaken, {"steps_per_call": None}, 1.0),
    ],
)
def test_the_linear_case_that_is_solved_by_hand(kind, arguments, expected):
    # x ~ N(0, 1), s ~ N(a x, 0.36) with a = (1 + theta) / 2. The best a given
    # s is E[x s] / E[s^2] = a / (a^2 + 0.36), so a^2 = 0.64 and theta = 0.6.
    model = kind(**arguments)
    schedule = keras.optimizers.schedules.CosineDecay(0.2, 80)
    model.compile(keras.optimizers.SGD(schedule), **QUICKLY)
    x = np.random.default_rng(0).normal(size=(4000, 1))
    x = (x - x.mean()) / x.std()
    x = np.tile(x, (80, 1))
    model.fit(x, batch_size=4000, shuffle=False, verbose=0)
    assert float(model.theta) == pytest.approx(expected, abs=0.03)


def test_temperatures():
    model = make_model(
        3, extra_steps=2, temperature_factor=3.0, initial_temperature=0.5
    )
    np.testing.assert_allclose(model.temperatures, [0.5, 0.5, 0.5, 1.5, 4.5])
    assert model.total_steps == 5


# Likelihoods.


def test_bound_is_exact_for_an_operator_that_is_its_own_reverse():
    # a^2 v + 0.36 = v for a = 0.8 and v = 1: every walk has the weight p(x).
    model = LinearGaussian(3, theta=0.6, temperature_factor=1.0)
    x = np.float32([[-1.5], [0.0], [0.3], [2.0]])
    expected = -0.5 * x[:, 0] ** 2 - 0.5 * math.log(2 * math.pi)
    found = model.log_likelihood_bound(x, batch_size=3)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    value, error = model.log_likelihood(x, num_samples=3, return_error=True)
    np.testing.assert_allclose(value, expected, atol=1e-4)
    assert (error < 1e-4).all()
    model.compile("sgd", **ONE_BATCH)
    logs = model.evaluate(x, verbose=0, return_dict=True)
    assert logs["acceptance"] == pytest.approx(1.0, abs=1e-4)


def test_bound_is_below_the_likelihood_and_tightens():
    model = LinearGaussian(3, theta=0.4)
    model.prior_mean.assign([0.5])
    model.prior_variance.assign([2.0])
    mean, variance = 0.5, 2.0
    for temperature in model.temperatures[::-1]:
        mean, variance = 0.7 * mean, 0.49 * variance + temperature * 0.36
    x = np.float32([[-1.0], [0.0], [1.5]])
    expected = -0.5 * (x[:, 0] - mean) ** 2 / variance
    expected -= 0.5 * math.log(2 * math.pi * variance)
    bound = model.log_likelihood_bound(np.repeat(x, 100, 0), 20, 300)
    gap = expected - bound.reshape(3, 100).mean(1)
    assert (gap > 0.02).all()
    gaps = [gap.mean()]
    for num_samples in (5, 400):
        value = model.log_likelihood(np.repeat(x, 100, 0), num_samples, 300)
        gaps.append((expected - value.reshape(3, 100).mean(1)).mean())
    assert gaps[0] > 2 * gaps[1] > 4 * abs(gaps[2])
    value, error = model.log_likelihood(x, 1000, return_error=True)
    assert (np.abs(value - expected) < 4 * error).all()
    assert (error < 0.1).all()


def test_evaluation_and_bound_agree():
    model = LinearGaussian(3, theta=0.2)
    model.compile("sgd", **QUICKLY)
    x = np.random.default_rng(0).normal(size=(4000, 1))
    found = model.evaluate(x, batch_size=1000, verbose=0, return_dict=True)
    bound = model.log_likelihood_bound(x, batch_size=1000).mean()
    assert found["bound"] == pytest.approx(bound, abs=0.05)
    assert found["loss"] == pytest.approx(-3 * found["reverse_log_prob"])
    assert int(model.updates.value) == 0


# Training.


@pytest.mark.parametrize("online", [False, True])
def test_training_improves_and_resumes(online, tmp_path):
    network = transition_mlp(
        2, (8,), num_steps=3, step_conditioning="normalization"
    )
    model = VariationalWalkback(
        GaussianTransition(network, num_steps=3), 3, online=online, seed=1
    )
    model.compile(keras.optimizers.Adam(1e-2), **QUICKLY)
    # A line: a network that moves nothing leaves it.
    x = make_points(64, 1) * [1.0, 0.5]
    history = model.fit(
        np.tile(x, (10, 1)), epochs=2, batch_size=32, verbose=0
    ).history
    assert history["loss"][-1] < history["loss"][0]
    assert history["bound"][-1] > history["bound"][0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert (loaded.num_steps, loaded.online) == (3, online)
    assert int(loaded.updates.value) == 40
    iterations = 120 if online else 40
    assert int(loaded.optimizer.iterations) == iterations
    losses = [
        one.fit(x, epochs=2, batch_size=32, verbose=0, shuffle=False).history
        for one in (model, loaded)
    ]
    assert losses[0]["loss"] == pytest.approx(losses[1]["loss"], rel=1e-5)
    for a, b in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(
        model.seed_generator.state.value, loaded.seed_generator.state.value
    )
    np.testing.assert_allclose(
        model.sample(5, seed=0), loaded.sample(5, seed=0), rtol=1e-3, atol=1e-4
    )


def test_half_precision():
    network = transition_mlp(2, (5,), dtype="mixed_float16")
    model = VariationalWalkback(
        GaussianTransition(network, dtype="mixed_float16"),
        2,
        online=True,
        dtype="mixed_float16",
    )
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(), initial_scale=64.0, dynamic_growth_steps=2
    )
    model.compile(optimizer, **ONE_BATCH)
    x = make_points(8)
    loss = model.fit(x, verbose=0).history["loss"][0]
    assert math.isfinite(loss)
    # Each update is one of the optimizer, and the scale grows after two.
    assert int(optimizer.iterations) == 2
    assert float(optimizer.dynamic_scale.value) == 128
    assert model.sample(2).dtype == np.float32


def test_points_of_weight_0_do_not_count():
    losses = []
    for weight, x in [
        (None, make_points(4)),
        (np.float32([1, 1, 1, 1, 0, 0]), make_points(6)),
    ]:
        model = make_model()
        model.build(x.shape)
        model.transition.noise = lambda shape, seed: ops.zeros(shape)
        for variable in model.trainable_variables:
            variable.assign(0.3 * ops.ones(variable.shape))
        model.compile("sgd", **ONE_BATCH)
        # Keras drops the weights of points without targets.
        logs = model.evaluate(
            x, x, sample_weight=weight, verbose=0, return_dict=True
        )
        losses.append([len(x) * logs["loss"], logs["bound"]])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_regularizers_count():
    network = keras.layers.Dense(
        2, kernel_initializer="ones", kernel_regularizer=keras.regularizers.L2()
    )
    model = VariationalWalkback(GaussianTransition(network, scale=1.0), 2)
    model.compile("sgd", **ONE_BATCH)
    x = make_points()
    logs = model.evaluate(x, verbose=0, return_dict=True)
    penalty = 4 * 0.01
    expected = -2 * logs["reverse_log_prob"] + penalty
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)


def test_binary_data():
    model = VariationalWalkback(
        BernoulliTransition(transition_mlp(4, (8,), learned_scale=False)),
        num_steps=3,
        seed=0,
    )
    model.compile(keras.optimizers.Adam(0.02), **QUICKLY)
    # Not evenly many: their average would be chance, where training starts.
    rows = [[1, 0, 1, 0]] * 3 + [[0, 1, 0, 1]]
    x = np.tile(np.float32(rows), (800, 1))
    history = model.fit(x, epochs=2, batch_size=32, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    samples = model.sample(200, extra_steps=3)
    assert set(np.unique(samples)) == {0, 1}
    known = (samples == x[0]).all(1) | (samples == x[3]).all(1)
    assert known.mean() > 0.5 > 1 / 8


def test_binary_likelihood_is_that_of_all_paths():
    features = 3
    model = VariationalWalkback(
        BernoulliTransition(keras.layers.Dense(features)), 3, seed=0
    )
    model.build((None, features))
    model.prior_mean.assign([0.3, 0.5, 0.9])
    grid = np.indices((2,) * features).reshape(features, -1).T
    grid = grid.astype("float32")

    def probabilities(p):
        """Of each state, from those of its features."""
        return np.prod(np.where(grid == 1, p[..., None, :], 1 - p), axis=-1)

    found = probabilities(np.array([0.3, 0.5, 0.9]))
    logits = to_numpy(model.transition(grid))
    for temperature in model.temperatures[::-1]:
        p = 1 / (1 + np.exp(-logits / temperature))
        steps = [probabilities(row) for row in p]
        found = found @ np.stack(steps)
    value, error = model.log_likelihood(grid, 400, return_error=True)
    assert (np.abs(value - np.log(found)) < 4 * error).all()
    assert (error < 0.2).all()
    bound = model.log_likelihood_bound(grid, 400)
    assert (bound < np.log(found)).all()


def test_images_of_8_bits():
    network = keras.layers.Dense(3, kernel_initializer="zeros")
    scale = 1e-4
    model = VariationalWalkback(
        GaussianTransition(network, alpha=1.0, scale=scale),
        1,
        dequantize=True,
        seed=0,
    )
    x = np.array([[0, 100, 255], [7, 8, 9]], "uint8")
    model.build(x.shape)
    model.prior_mean.assign([0.5, 0.4, 0.6])
    model.prior_variance.assign([0.04, 0.02, 0.03])
    # An operator that hardly moves: p(x) is p*(x), of each integer.
    states = (x + 0.5) / 256
    expected = -0.5 * (states - [0.5, 0.4, 0.6]) ** 2 / [0.04, 0.02, 0.03]
    expected -= 0.5 * np.log(2 * np.pi * np.array([0.04, 0.02, 0.03]))
    expected = expected.sum(1) - 3 * math.log(256)
    found = model.log_likelihood_bound(x, num_samples=50)
    np.testing.assert_allclose(found, expected, atol=0.05)

    samples = model.sample(1000, seed=0)
    assert samples.dtype == np.uint8
    assert samples[:, 0].mean() == pytest.approx(128, abs=5)
    np.testing.assert_array_equal(model.denoise(x), x)
    known = np.array([True, False, True])
    filled = model.inpaint(x, known)
    assert filled.dtype == np.uint8
    np.testing.assert_array_equal(filled[:, known], x[:, known])


# Sampling.


def test_samples_of_a_chain_in_equilibrium():
    model = LinearGaussian(4, theta=0.6, temperature_factor=1.0)
    samples = model.sample(20_000, extra_steps=2, seed=0)
    assert samples.mean() == pytest.approx(0, abs=0.03)
    assert samples.std() == pytest.approx(1, abs=0.03)
    path = model.walk(samples, return_trajectory=True, seed=1)
    for state in path:
        assert state.std() == pytest.approx(1, abs=0.03)
    product = np.mean(path[1] * path[2])
    assert product == pytest.approx(0.8, abs=0.03)


def test_samples_cool_down():
    # With a = 0 a state is nothing but its last noise.
    model = LinearGaussian(3, theta=-1.0, extra_steps=1)
    path = model.sample(20_000, extra_steps=2, return_trajectory=True, seed=0)
    assert path.shape == (7, 20_000, 1)
    expected = [1.0, *np.sqrt(0.36 * np.array([4, 2, 1, 1, 1, 1]))]
    np.testing.assert_allclose(path.std((1, 2)), expected, rtol=0.03)
    path = model.walk(path[-1], return_trajectory=True)
    expected = np.sqrt(0.36 * np.array([1, 1, 1, 2, 4]))
    np.testing.assert_allclose(path.std((1, 2)), expected, rtol=0.03)
    last = model.walk(path[-1], num_steps=2, temperature=9.0)
    assert last.std() == pytest.approx(1.8, rel=0.03)


def test_sampling_is_by_seed():
    model = make_model()
    with pytest.raises(ValueError, match="has not seen data"):
        model.sample(3)
    x = make_points()
    model.build(x.shape)
    samples = model.sample(3, seed=1)
    assert samples.shape == (3, 2)
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, model.sample(3, seed=1))
    assert (samples != model.sample(3, seed=2)).all()
    assert (model.sample(3) != model.sample(3)).all()
    walked = model.walk(x, return_trajectory=True, seed=3)
    np.testing.assert_array_equal(walked[0], x)
    np.testing.assert_array_equal(model.walk(x, seed=3), walked[-1])
    generator = keras.random.SeedGenerator(3)
    np.testing.assert_array_equal(model.walk(x, seed=generator), walked[-1])
    assert (model.walk(x, seed=generator) != walked[-1]).all()


def test_inpainting_holds_what_is_known():
    model = make_model()
    x = make_points()
    model.build(x.shape)
    mask = np.random.default_rng(1).uniform(size=x.shape) < 0.5
    path = model.inpaint(x, mask, extra_steps=1, return_trajectory=True, seed=0)
    assert path.shape == (5, *x.shape)
    for state in path:
        np.testing.assert_array_equal(state[mask], x[mask])
        assert (state[~mask] != x[~mask]).all()
    np.testing.assert_array_equal(
        model.inpaint(x, mask, extra_steps=1, seed=0), path[-1]
    )
    np.testing.assert_array_equal(
        model.inpaint(x, mask[0])[:, mask[0]], x[:, mask[0]]
    )
    for wrong in (
        mask[:, :1],
        mask[:2],
        mask.astype("float32"),
        mask[..., None],
    ):
        with pytest.raises(
            ValueError, match=r"mask of shape \(6, 2\) or \(2,\)"
        ):
            model.inpaint(x, wrong)


def test_denoising_is_the_mean_of_the_operator():
    model = LinearGaussian(theta=0.6)
    x = np.float32([[1.0], [-2.0]])
    np.testing.assert_allclose(model.denoise(x), 0.8 * x, rtol=1e-5)
    np.testing.assert_allclose(
        model.denoise(x, num_steps=2), 0.64 * x, rtol=1e-5
    )


# The number of steps, from data.


@pytest.mark.parametrize(
    ("factor", "scale", "deviation", "steps"),
    [
        (2.0, 0.5, 4.0, 6),
        (2.0, 0.5, 4.1, 7),
        (1.5, 0.5, 2.0, 7),
        (2, 2.0, 1, 1),
    ],
)
def test_steps_that_span_the_data(factor, scale, deviation, steps, tmp_path):
    network = keras.layers.Dense(2)
    model = VariationalWalkback(
        GaussianTransition(network, scale=scale), "auto", 1, factor
    )
    model.compile("sgd", **QUICKLY)
    x = np.tile(np.float32([[-1, -1], [1, 1]]), (4, 1)) * [0.1, deviation]
    with pytest.raises(ValueError, match=r"call of `adapt\(data\)` first"):
        model.fit(x)
    model.adapt(x)
    assert model.num_steps == steps
    assert model.total_steps == steps + 1
    if steps > 1:
        # The last step but for one factor is as wide as the data.
        widest = model.temperatures[-1] * scale**2 * factor
        assert widest / factor < deviation**2 * 1.001 <= widest * 1.002
    with pytest.raises(ValueError, match=r"'auto'`. Received: num_steps="):
        model.adapt(x)
    same = VariationalWalkback.from_config(model.get_config())
    assert same.num_steps == steps


# What is wrong with data and arguments.


def test_data_without_variance():
    model = make_model("auto")
    with pytest.raises(ValueError, match="features vary .* variance of 0.0"):
        model.adapt(np.ones((5, 2)))


def test_an_operator_that_knows_too_few_steps():
    network = transition_mlp(2, (4,), num_steps=3)
    transition = GaussianTransition(network, num_steps=3)
    with pytest.raises(ValueError, match="at least 4.* num_steps=3"):
        VariationalWalkback(transition, 3, extra_steps=1)
    model = VariationalWalkback(transition, "auto")
    with pytest.raises(ValueError, match="Received: an operator with num_st"):
        model.adapt(make_points())


def test_nan_is_reported_with_its_batch():
    model = make_model()
    model.compile("sgd", **ONE_BATCH)
    x = make_points(8)
    x[5] = np.nan
    with pytest.raises(ValueError, match="batch 2 .* of epoch 1 is not finite"):
        model.fit(x, batch_size=2, shuffle=False, verbose=0)


def test_data_that_are_not_binary():
    model = VariationalWalkback(BernoulliTransition(keras.layers.Dense(2)), 2)
    model.compile("sgd")
    x = np.float32([[0, 1], [0.5, 1]])
    with pytest.raises(ValueError, match="0 and 1. Received: 1 other .* 0.5"):
        model.fit(x)
    model.build((None, 2))
    for method in (model.walk, model.log_likelihood, model.denoise):
        with pytest.raises(ValueError, match="Received: 1 other values"):
            method(x)


@pytest.mark.parametrize("x", [[[-1, 5]], [[3, 256]], [[0.5, 3]]])
def test_images_out_of_range(x):
    network = keras.layers.Dense(4)
    model = VariationalWalkback(GaussianTransition(network), 2, dequantize=True)
    model.compile("sgd")
    with pytest.raises(ValueError, match="integers from 0 to 255 .* Received"):
        model.fit(np.array(x))


def test_data_of_another_shape():
    model = make_model()
    with pytest.raises(ValueError, match="but the batch known. Received: shap"):
        model.build((None, None, 2))
    model.build((None, 2))
    model.compile("sgd")
    for method in (model.fit, model.walk, model.log_likelihood_bound):
        with pytest.raises(
            ValueError, match=r"\('batch', 2\). Received: shape"
        ):
            method(make_points(features=3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_steps": 0}, "`num_steps` to be a positive integer"),
        ({"extra_steps": -1}, "`extra_steps` to be a non-negative integer"),
        ({"temperature_factor": 0}, "`temperature_factor` to be a positive"),
        ({"temperature_factor": -2.0}, "Received: temperature_factor=-2.0"),
        ({"initial_temperature": 0.0}, "`initial_temperature` to be a posit"),
        ({"momentum": 1.0}, r"`momentum` to be a number in \[0, 1\)"),
        ({"steps_per_call": 0}, "`steps_per_call` to be a positive integer"),
        ({"steps_per_call": "all"}, "`steps_per_call` to be a positive"),
        (
            {"num_steps": "auto", "temperature_factor": 1.0},
            "above 1 for `num_steps='auto'`",
        ),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_model(**arguments)


def test_bad_operators():
    with pytest.raises(ValueError, match="`transition` to be a `Transition`"):
        VariationalWalkback(keras.layers.Dense(2), 2)
    binary = BernoulliTransition(keras.layers.Dense(2))
    with pytest.raises(ValueError, match="a smallest variance .* Bernoulli"):
        VariationalWalkback(binary, "auto")
    with pytest.raises(ValueError, match="real states for `dequantize=True`"):
        VariationalWalkback(binary, 2, dequantize=True)
    wrong = VariationalWalkback(GaussianTransition(keras.layers.Dense(2)), 2)
    wrong.compile("sgd")
    with pytest.raises(ValueError, match=r"outputs of shape \(None, 2\)"):
        wrong.fit(make_points(), verbose=0)


def test_bad_arguments_of_methods():
    model = make_model()
    x = make_points()
    model.build(x.shape)
    for method, arguments, message in [
        (model.sample, {"num_samples": 0}, "`num_samples` to be a positive"),
        (model.sample, {"extra_steps": -1}, "`extra_steps` to be a non-neg"),
        (model.walk, {"x": x, "num_steps": 0}, "`num_steps` to be a positi"),
        (model.walk, {"x": x, "temperature": 2.0}, "together with `num_step"),
        (
            model.walk,
            {"x": x, "num_steps": 2, "temperature": 0.0},
            "`temperature` to be a positive",
        ),
        (model.denoise, {"x": x, "num_steps": 0}, "`num_steps` to be a posi"),
        (model.log_likelihood, {"x": x, "num_samples": 0}, "`num_samples`"),
        (model.log_likelihood_bound, {"x": x, "batch_size": 0}, "`batch_siz"),
    ]:
        with pytest.raises(ValueError, match=message):
            method(**arguments)


def test_weights_count_without_targets():
    model = VariationalWalkback(
        GaussianTransition(transition_mlp(2, units=(4,))), 2
    )
    model.compile("sgd", **QUICKLY)
    x = np.ones((4, 2), "float32")
    found = model.evaluate(
        x, sample_weight=np.zeros(4), verbose=0, return_dict=True
    )
    assert found["loss"] == 0


@pytest.mark.parametrize("make", [transition_mlp, transition_unet])
def test_networks_have_channels_last_whatever_the_configuration(make):
    shape, kwargs = (4, 4, 3), {"num_steps": 2}
    if make is transition_unet:
        kwargs["filters"] = (8, 16)
    keras.utils.set_random_seed(0)
    expected = make(shape, **kwargs)
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        network = make(shape, **kwargs)
    finally:
        keras.config.set_image_data_format(before)
    assert network.output_shape == expected.output_shape
    random = np.random.default_rng(0)
    network.set_weights(
        [random.normal(size=w.shape) for w in expected.get_weights()]
    )
    expected.set_weights(network.get_weights())
    inputs = [np.ones((2, *shape), "float32"), np.zeros(2, "int32")]
    np.testing.assert_array_equal(network(inputs), expected(inputs))
