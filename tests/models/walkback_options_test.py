"""`VariationalWalkback`: schedules of samples, averaged weights, classes."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit.layers import BernoulliTransition
from keras_seqcredit.layers import GaussianTransition
from keras_seqcredit.models import VariationalWalkback
from keras_seqcredit.models import transition_mlp
from keras_seqcredit.models.markov_chain import guided
from keras_seqcredit.seeds import FixedSeed
from tests.gradients import FASTEST
from tests.gradients import value_and_gradients

QUICKLY = {"jit_compile": FASTEST == "jit", "run_eagerly": FASTEST == "eager"}
TEMPERATURES = [1.0, 2.0, 4.0]


def make_points(num=6):
    return np.random.default_rng(0).normal(size=(num, 2)).astype("float32")


def to_numpy(x):
    return ops.convert_to_numpy(x)


class Scaled(keras.layers.Layer):
    """Of states, steps and classes; the same on every backend."""

    def __init__(self, inputs=1, **kwargs):
        super().__init__(**kwargs)
        self.inputs = inputs

    def build(self, shapes):
        self.factor = self.add_weight(
            shape=(), initializer="ones", name="factor"
        )
        self.factor.assign(0.3)

    def call(self, inputs):
        inputs = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        states, *numbers = inputs
        assert len(numbers) == self.inputs - 1
        total = sum(ops.cast(n, states.dtype) for n in numbers)
        if numbers:
            states = states + total[:, None]
        return self.factor * ops.tanh(states)


def of_levels(**arguments):
    return GaussianTransition(
        Scaled(2),
        scale=0.5,
        num_steps=3,
        level_temperatures=TEMPERATURES,
        **arguments,
    )


# Scaling by level.


def by_level(factor, s, step, mean, variances, alpha):
    """One state, feature by feature."""
    sd2 = sum(variances) / len(variances)
    v = sum(
        0.5**2 * 2.0**t * alpha ** (2 * (step - t)) for t in range(step + 1)
    )
    found = []
    for x, m in zip(s, mean, strict=True):
        seen = (x - m) / (sd2 + v) ** 0.5
        f = factor * ops.tanh(seen + step)
        kept = sd2 / (sd2 + v) * (x - m)
        clean = m + kept + sd2**0.5 * (v / (sd2 + v)) ** 0.5 * f
        found.append(alpha * x + (1 - alpha) * clean)
    return found


@pytest.mark.parametrize("alpha", [0.0, 0.7])
@pytest.mark.parametrize("mode", sorted({FASTEST, "jit"}))
def test_scaling_by_level_is_its_formula(mode, alpha):
    operator = of_levels(level_alpha=alpha)
    x, steps = make_points(4), np.int32([0, 1, 2, 2])
    operator.build(x.shape)
    mean, variances = [0.5, -1.0], [2.0, 0.7]
    operator.data_mean.assign(mean)
    operator.data_variance.assign(variances)
    expected = [
        [
            float(e)
            for e in by_level(0.3, list(s), int(t), mean, variances, alpha)
        ]
        for s, t in zip(x, steps, strict=True)
    ]
    found = to_numpy(operator(x, steps))
    np.testing.assert_allclose(found, expected, rtol=1e-5)

    def of_layer(arrays):
        network = operator.network
        with keras.StatelessScope(state_mapping=[(network.factor, arrays[0])]):
            return ops.sum(ops.square(operator(arrays[1], steps)))

    def by_hand(arrays):
        total = 0.0
        for i, t in enumerate(steps):
            s = [arrays[1][i, 0], arrays[1][i, 1]]
            row = by_level(arrays[0], s, int(t), mean, variances, alpha)
            total = total + sum(e**2 for e in row)
        return total

    arrays = [np.float32(0.3), x]
    value, gradients = value_and_gradients(of_layer, arrays, mode)
    other, expected = value_and_gradients(by_hand, arrays, FASTEST)
    assert value == pytest.approx(other, rel=1e-5)
    for a, b in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("how", "alpha"), [({}, 0.0), ({"num_walkers": 6}, 0.5)]
)
def test_moments_of_the_data_are_fitted_and_saved(how, alpha, tmp_path):
    network = transition_mlp(
        2, (3,), learned_scale=False, num_steps=3, residual=False
    )
    operator = GaussianTransition(
        network,
        scale=0.5,
        num_steps=3,
        level_temperatures=TEMPERATURES,
        level_alpha=alpha,
    )
    model = VariationalWalkback(operator, 3, seed=0, **how)
    model.compile("sgd", **QUICKLY)
    x = 3 + 2 * make_points()
    # It starts as the best linear estimate: 0 and 1 are the moments so far.
    share = alpha + (1 - alpha) / 1.25
    np.testing.assert_allclose(operator(x), share * x, rtol=1e-5)
    model.train_on_batch(x)
    model.train_on_batch(x + 2)
    mean = x.mean(0) + 1
    np.testing.assert_allclose(operator.data_mean.value, mean, rtol=1e-4)
    variance = np.concatenate([x, x + 2]).var(0)
    np.testing.assert_allclose(
        operator.data_variance.value, variance, rtol=1e-4
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for a, b in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(loaded.denoise(x), model.denoise(x), rtol=1e-5)


def test_bad_levels():
    with pytest.raises(ValueError, match="a number as `scale` together with"):
        GaussianTransition(
            Scaled(2), num_steps=3, level_temperatures=TEMPERATURES
        )
    with pytest.raises(ValueError, match="num_steps=None"):
        GaussianTransition(Scaled(), scale=0.5, level_temperatures=[1.0])
    with pytest.raises(ValueError, match="of 2 positive numbers. Received: 3"):
        GaussianTransition(
            Scaled(2), scale=1.0, num_steps=2, level_temperatures=TEMPERATURES
        )
    with pytest.raises(ValueError, match=r"`level_temperatures` together with"):
        GaussianTransition(Scaled(), level_alpha=0.5)
    for bad in (1.0, -0.1, float("nan"), "half"):
        with pytest.raises((ValueError, TypeError), match="in .0, 1."):
            of_levels(level_alpha=bad)
    with pytest.raises(ValueError, match="those of the walk, .1.0, 3.0, 9.0"):
        VariationalWalkback(of_levels(), 3, temperature_factor=3.0)


# Binary operators.


@pytest.mark.parametrize(
    ("residual", "max_logit"), [("states", None), (0.1, None), (0.1, 0.7)]
)
def test_residual_path_bias_and_bound_of_binary_states(residual, max_logit):
    operator = BernoulliTransition(
        Scaled(),
        alpha=0.25,
        residual=residual,
        use_bias=True,
        max_logit=max_logit,
    )
    data = np.float32([[1, 0], [1, 1], [1, 0], [0, 0]])
    operator.adapt(data)
    bias = [np.log(3.0), np.log(1 / 3)]
    np.testing.assert_allclose(operator.bias.value, bias, rtol=1e-5)

    def by_hand(factor, b):
        rows = []
        for s in data:
            row = []
            for i, x in enumerate(s):
                path = float(x)
                if residual != "states":
                    path = (2 * path - 1) * np.log(0.9 / 0.1)
                mu = factor * float(np.tanh(x)) + b[i]
                logit = 0.25 * path + 0.75 * mu
                if max_logit is not None:
                    logit = max_logit * ops.tanh(logit / max_logit)
                row.append(logit)
            rows.append(ops.stack(row))
        return ops.stack(rows)

    expected = by_hand(0.3, np.float32(bias))
    np.testing.assert_allclose(operator(data), expected, rtol=1e-5)
    p = 1 / (1 + np.exp(-to_numpy(expected) / 2.0))
    found = operator.mean(operator(data), 2.0)
    np.testing.assert_allclose(found, p, rtol=1e-5)

    def of_layer(arrays):
        mapping = [
            (operator.network.factor, arrays[0]),
            (operator.bias, arrays[1]),
        ]
        with keras.StatelessScope(state_mapping=mapping):
            return ops.sum(ops.square(operator(data)))

    arrays = [np.float32(0.3), np.float32(bias)]
    _, gradients = value_and_gradients(of_layer, arrays, FASTEST)
    _, others = value_and_gradients(
        lambda a: ops.sum(ops.square(by_hand(*a))), arrays, FASTEST
    )
    for a, b in zip(gradients, others, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4)

    again = BernoulliTransition.from_config(
        {**operator.get_config(), "network": Scaled()}
    )
    assert again.get_config()["residual"] == residual
    assert (again.alpha, again.use_bias) == (0.25, True)
    assert again.max_logit == max_logit


def test_a_bounded_operator_is_never_certain():
    operator = BernoulliTransition(
        keras.layers.Dense(2, kernel_initializer="zeros"), max_logit=4.6
    )
    operator.build((None, 2))
    operator.network.bias.assign([1e6, -1e6])
    found = operator.mean(operator(np.zeros((1, 2), "float32")), 1.0)
    np.testing.assert_allclose(found, [[0.99, 0.01]], atol=1e-4)


def test_bad_binary_operators():
    for arguments, message in [
        ({"alpha": 1.5}, r"`alpha` to be a number in \[0, 1\]"),
        ({"residual": 0.5}, r"'states' or a number in \(0, 0.5\)"),
        ({"residual": "logits"}, "Received: residual='logits'"),
        ({"use_bias": 2}, "`use_bias` to be True or False"),
        ({"max_logit": 0}, "`max_logit` to be None or a positive number"),
    ]:
        with pytest.raises(ValueError, match=message):
            BernoulliTransition(Scaled(), **arguments)
    with pytest.raises(ValueError, match="with `use_bias=True`"):
        BernoulliTransition(Scaled()).adapt(np.ones((2, 2)))
    operator = BernoulliTransition(Scaled(), use_bias=True)
    with pytest.raises(ValueError, match="states of a known shape"):
        operator(keras.Input((None, 2)))
    with pytest.raises(ValueError, match="Expected data of 0 and 1"):
        operator.adapt(np.full((2, 2), 0.5))


# Sampling.


@pytest.fixture
def known_noise(monkeypatch):
    """Noise that is known: of the key alone."""

    def draw(seed, num, like):
        return ops.cast(np.arange(num)[:, None] * [1, 1], like.state.dtype)

    monkeypatch.setattr(FixedSeed, "draw", staticmethod(draw))

    def noise(shape, seed):
        key = ops.cast(seed.next()[0], "float32")
        count = ops.cumsum(ops.reshape(ops.ones(shape), (-1,)))
        return ops.reshape(ops.sin((1.3 + 0.37 * key) * count), shape)

    return noise


def noise_of(number, shape):
    count = np.arange(1, np.prod(shape) + 1)
    return np.sin((1.3 + 0.37 * number) * count).reshape(shape)


def make_model(noise=None, **arguments):
    operator = GaussianTransition(Scaled(2), scale=0.5, num_steps=3)
    if noise is not None:
        operator.noise = noise
    model = VariationalWalkback(operator, 3, seed=0, **arguments)
    model.build((None, 2))
    return model


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.mark.parametrize(
    ("given", "heat", "steps"),
    [
        ({}, [4, 2, 1], [2, 1, 0]),
        ({"schedule": [4.0, 2.0, 1.0]}, [4, 2, 1], [2, 1, 0]),
        (
            {"schedule": [9.0, 3.0, 2.7, 0.5], "repeats": 2},
            [9, 9, 3, 3, 2.7, 2.7, 0.5, 0.5],
            [2, 2, 2, 2, 1, 1, 0, 0],
        ),
        (
            {"schedule": (4, 4), "steps": [1, 0], "extra_steps": 1},
            [4, 4, 4],
            [1, 0, 0],
        ),
    ],
)
def test_schedules_are_a_plain_loop(given, heat, steps, known_noise):
    model = make_model(known_noise)
    shape = (3, 2)
    path = model.sample(
        3, return_trajectory=True, denoise=True, seed=0, **given
    )
    assert len(path) == len(heat) + 2
    state = path[0]
    for i, (temperature, step) in enumerate(zip(heat, steps, strict=True)):
        f = 0.3 * np.tanh(state + step)
        mean = 0.5 * state + 0.5 * f
        state = mean + 0.5 * temperature**0.5 * noise_of(i, shape)
        np.testing.assert_allclose(path[i + 1], state, rtol=1e-3, atol=1e-5)
    last = 0.5 * state + 0.5 * 0.3 * np.tanh(state)
    np.testing.assert_allclose(path[-1], last, rtol=1e-3, atol=1e-5)


def test_a_last_move_without_noise_is_that_of_denoise(model):
    samples = model.sample(4, seed=3)
    found = model.sample(4, seed=3, denoise=True)
    np.testing.assert_allclose(found, model.denoise(samples), rtol=1e-5)


def test_samples_that_start_elsewhere(model):
    x = make_points()
    path = model.sample(start=x, return_trajectory=True, seed=3)
    assert path.shape == (4, 6, 2)
    np.testing.assert_array_equal(path[0], x)
    with pytest.raises(ValueError, match=r"points of shape \('batch', 2\)"):
        model.sample(start=x[:, :1])


def test_bad_schedules(model):
    for arguments, message in [
        ({"schedule": [1.0, 2.0]}, "do not rise. Received: 1 before 2, at 0"),
        ({"schedule": [1.0, 0.0]}, "`schedule` to be positive temperatures"),
        ({"schedule": []}, "`schedule` to be positive temperatures, one"),
        ({"schedule": [[1.0]]}, "`schedule` to be an array of numbers"),
        ({"repeats": 0}, "`repeats` to be a positive integer"),
        ({"steps": [0]}, "`steps` together with `schedule`"),
        ({"schedule": [1.0], "steps": [3]}, "1 integers from 0 to 2"),
        ({"schedule": [1.0], "steps": [0, 0]}, "1 integers from 0 to 2"),
        ({"denoise": "yes"}, "`denoise` to be True or False"),
        ({"guidance": 2.0}, "`classes` together with `guidance`"),
        ({"classes": 1}, "an operator with `num_classes`"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.sample(2, **arguments)


# Averaged weights.


@pytest.mark.parametrize("how", [{}, {"online": True}])
def test_averaged_weights_are_those_of_samples_and_files(how, tmp_path):
    momentum = 0.8
    network = transition_mlp(2, (3,), learned_scale=False)
    model = VariationalWalkback(
        GaussianTransition(network, scale=0.5), 2, seed=0, **how
    )
    optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=momentum)
    model.compile(optimizer, **QUICKLY)
    model.build((None, 2))
    seen = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if keras.backend.backend() == "jax":
                self.model.jax_state_sync()
            seen.append(to_numpy(network.trainable_variables[-1].value))

    x = make_points(12)
    model.fit(x, batch_size=4, verbose=0, callbacks=[Look()])
    found = to_numpy(network.trainable_variables[-1].value)
    assert np.abs(found - seen[-1]).max() > 1e-4
    if not how.get("online"):  # Which averages within a batch, too.
        average = seen[0]
        for values in seen[1:]:
            average = momentum * average + (1 - momentum) * values
        np.testing.assert_allclose(found, average, rtol=1e-4, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    again = to_numpy(loaded.transition.network.trainable_variables[-1].value)
    np.testing.assert_array_equal(again, found)
    if not how:
        np.testing.assert_allclose(
            loaded.sample(3, seed=1), model.sample(3, seed=1), rtol=1e-5
        )
        loaded.fit(x, batch_size=4, verbose=0)


# Walkers.


def naive_walkers(weights, batches, num_walkers, temperatures, rate, network):
    """One walker, one point and one step at a time."""
    from tests.reference import walkback as reference

    family = reference.Gaussian(0.6)
    total = len(temperatures)
    steps = [-(i % total) for i in range(num_walkers)]
    states = [None] * num_walkers
    ratios = [0.0] * num_walkers
    losses, finished = [], []
    for x in batches:
        turn, before, given = 0, [], []
        for i in range(num_walkers):
            step = max(steps[i], 0)
            if step == 0:
                before.append(x[turn % len(x)])
                turn += 1
                ratios[i] = 0.0
            else:
                before.append(states[i])
            given.append((temperatures[step], step))
        noise = noise_of(0, (num_walkers, x.shape[1]))

        def run(weights, before=before, given=given, noise=noise):
            rows = []
            for s, (heat, step), n in zip(before, given, noise, strict=True):
                s, n = (ops.convert_to_tensor(np.float32(v)) for v in (s, n))
                after, there = reference.step(family, weights, s, n, heat, step)
                back = reference.back(family, weights, s, after, heat, step)
                rows.append((after, there, back))
            return rows

        def loss(weights, run=run):
            return -total * reference.mean([row[2] for row in run(weights)])

        rows = run([ops.convert_to_tensor(w) for w in weights])
        value, gradients = value_and_gradients(loss, weights, FASTEST)
        weights = [
            w - rate * g for w, g in zip(weights, gradients, strict=True)
        ]
        losses.append(value)
        arrived = []
        for i, (after, there, back) in enumerate(rows):
            states[i] = to_numpy(after)
            ratios[i] += float(back) - float(there)
            waits = steps[i] < 0
            steps[i] += 1
            if not waits and steps[i] == total:
                steps[i] = 0
                arrived.append((states[i], ratios[i]))
        finished.append(arrived)
    return weights, losses, finished, steps


@pytest.mark.parametrize("how", sorted({FASTEST, "jit"}))
def test_walkers_are_a_naive_loop(how, known_noise, tmp_path):
    rate, total, num_walkers = 0.02, 3, 5
    states, steps = keras.Input((2,)), keras.Input((), dtype="int32")
    hidden, last = keras.layers.Dense(4), keras.layers.Dense(2)
    rows = keras.layers.Embedding(total, 4)
    outputs = last(ops.tanh(hidden(states) + rows(steps)))
    operator = GaussianTransition(
        keras.Model([states, steps], outputs), scale=0.6, num_steps=total
    )
    operator.noise = known_noise
    model = VariationalWalkback(
        operator,
        total,
        temperature_factor=1.5,
        num_walkers=num_walkers,
        momentum=0.5,
        seed=1,
    )
    model.build((None, 2))
    variables = [
        w for layer in (hidden, last, rows) for w in layer.trainable_weights
    ]
    random = np.random.default_rng(1)
    for variable in variables:
        variable.assign(0.5 * random.normal(size=variable.shape))
    model.compile(
        keras.optimizers.SGD(rate),
        jit_compile=how == "jit",
        run_eagerly=how == "eager",
    )
    before = [to_numpy(w.value) for w in variables]
    data = np.random.default_rng(2).normal(size=(7, 2, 2)).astype("float32")
    temperatures = [1.0, 1.5, 2.25]
    after, losses, finished, numbers = naive_walkers(
        before, data, num_walkers, temperatures, rate, None
    )
    count, mean, square = 0, np.zeros(2), np.ones(2)
    for x, loss, arrived in zip(data, losses, finished, strict=True):
        prior = (
            to_numpy(model.prior_mean.value),
            to_numpy(model.prior_variance.value),
        )
        logs = model.train_on_batch(x, return_dict=True)
        model.reset_metrics()
        assert logs["loss"] == pytest.approx(loss, rel=1e-3)
        assert logs["reverse_log_prob"] == pytest.approx(-loss / 3, rel=1e-3)
        if arrived:
            ends = np.stack([end for end, _ in arrived])
            variance = np.maximum(prior[1], 0.6**2)
            z = (ends - prior[0]) ** 2 / variance
            density = -0.5 * z - 0.5 * np.log(2 * np.pi * variance)
            bounds = density.sum(-1) + [ratio for _, ratio in arrived]
            assert logs["bound"] == pytest.approx(bounds.mean(), rel=1e-3)
            share = max(1 / (count + 1), 0.5)
            mean = (1 - share) * mean + share * ends.mean(0)
            square = (1 - share) * square + share * (ends**2).mean(0)
            count += 1
    for a, b, start in zip(variables, after, before, strict=True):
        np.testing.assert_allclose(a.value, b, rtol=1e-3, atol=1e-5)
        assert np.abs(b - start).max() > 1e-3
    np.testing.assert_array_equal(model.walkers.steps.value, numbers)
    assert int(model.updates.value) == count > 2
    np.testing.assert_allclose(model.prior_mean.value, mean, rtol=1e-3)
    found = to_numpy(model.prior_variance.value) + mean**2
    np.testing.assert_allclose(found, square, rtol=1e-3)
    if how == FASTEST:
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        loaded.transition.noise = known_noise
        values = [
            m.train_on_batch(data[0], return_dict=True)["loss"]
            for m in (model, loaded)
        ]
        assert values[0] == pytest.approx(values[1], rel=1e-5)
        # Points of weight 0, once all walkers have begun at such.
        for _ in range(total + 1):
            updates = int(model.updates.value)
            logs = model.train_on_batch(
                data[0], sample_weight=np.zeros(2), return_dict=True
            )
            model.reset_metrics()
        assert logs["loss"] == 0
        assert int(model.updates.value) == updates


def test_walkers_do_not_update_after_each_step():
    with pytest.raises(ValueError, match="`num_walkers=None` with `online"):
        make_model(num_walkers=3, online=True)
    with pytest.raises(ValueError, match="`num_walkers` to be a positive"):
        make_model(num_walkers=0)


# Classes.


def make_classes(noise=None, learned=False, **arguments):
    operator = GaussianTransition(
        Scaled(3), scale=0.5, num_steps=3, num_classes=2
    )
    if noise is not None:
        operator.noise = noise
    return VariationalWalkback(operator, 3, seed=0, **arguments)


@pytest.mark.parametrize("guidance", [None, 2.5])
def test_guidance_is_its_formula(guidance, known_noise):
    model = make_classes(known_noise)
    model.build((None, 2))
    classes = np.array([0, 1, 1])
    path = model.sample(
        3,
        classes=classes,
        guidance=guidance,
        return_trajectory=True,
        denoise=True,
        seed=0,
    )
    weight = 1.0 if guidance is None else guidance

    def mean(state, step):
        def f(numbers):
            numbers = np.reshape(numbers, (-1, 1))
            return 0.5 * state + 0.15 * np.tanh(state + step + numbers)

        return f(2) + weight * (f(classes) - f(2))

    state = path[0]
    for i, temperature in enumerate([4.0, 2.0, 1.0]):
        noise = 0.5 * temperature**0.5 * noise_of(i, (3, 2))
        state = mean(state, 2 - i) + noise
        np.testing.assert_allclose(path[i + 1], state, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(path[-1], mean(state, 0), rtol=1e-3, atol=1e-5)


def test_guided_scales_are_those_of_the_class():
    parameters = np.float32([[1.0, 2.0, 0.1, 0.2]])
    without = np.float32([[0.0, 1.0, 0.5, 0.5]])
    found = guided(parameters, without, 3.0, 2)
    np.testing.assert_allclose(found, [[3.0, 4.0, 0.1, 0.2]], rtol=1e-6)


@pytest.mark.parametrize(
    ("how", "steps"),
    [({}, None), ({}, 2), ({"steps_per_call": None}, None)]
    + [({"online": True}, None), ({"num_walkers": 8}, 2)],
)
def test_classes_are_learned(how, steps, tmp_path):
    network = transition_mlp(
        1, (8,), learned_scale=False, num_steps=steps, num_classes=3
    )
    model = VariationalWalkback(
        GaussianTransition(network, scale=0.5, num_steps=steps, num_classes=3),
        2,
        seed=0,
        class_dropout=0.0,
        **how,
    )
    model.compile("sgd", **QUICKLY)
    x = make_points(8)[:, :1]
    data = {"data": x, "classes": np.array([0, 2] * 4)}
    model.build({"data": x.shape, "classes": (8,)})
    (rows,) = [w for w in model.trainable_weights if tuple(w.shape) == (4, 8)]
    # The last kernel starts at zero, and hands no gradient on.
    for weight in model.trainable_weights:
        weight.assign(keras.random.normal(weight.shape, 0, 0.3, seed=1))
    before = to_numpy(rows.value)
    model.fit(data, batch_size=8, verbose=0)
    moved = np.abs(to_numpy(rows.value) - before).max(1) > 1e-6
    assert moved.tolist() == [True, False, True, False]
    if how or steps:
        return
    other = {**data, "classes": np.array([1, 2] * 4)}
    values = [model.evaluate(d, verbose=0, return_dict=True) for d in (data,)]
    assert np.isfinite(values[0]["bound"])
    bounds = [model.log_likelihood_bound(d, seed=0) for d in (data, other)]
    changed = np.abs(bounds[0] - bounds[1]) > 1e-6
    assert changed.tolist() == [True, False] * 4
    assert model.walk(data).shape == x.shape
    known = np.ones_like(x, bool)
    np.testing.assert_array_equal(model.inpaint(data, known), x)
    found = model.denoise(data)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert (loaded.class_dropout, loaded.transition.num_classes) == (0.0, 3)
    np.testing.assert_allclose(loaded.denoise(data), found, rtol=1e-5)
    loaded.fit(data, batch_size=8, verbose=0)


def test_classes_that_are_dropped(known_noise):
    model = make_classes(class_dropout=0.25)
    classes = np.tile(np.int32([0, 1]), 2000)
    inputs = {"data": np.zeros((4000, 2), "float32"), "classes": classes}
    _, found = model._classes_for_training(inputs)
    found = to_numpy(found)
    assert (found == 2).mean() == pytest.approx(0.25, abs=0.03)
    assert (found[found < 2] == classes[found < 2]).all()


def test_bad_classes():
    model = make_classes()
    model.compile("sgd")
    x = make_points()
    for data, message in [
        (x, "a dictionary of 'data' and 'classes'"),
        ({"data": x, "labels": x}, r"Received: \['data', 'labels'\]"),
        ({"data": x, "classes": np.full(6, 2)}, "from 0 to 1, .* Received: 2"),
        ({"data": x, "classes": np.zeros(6)}, "6 integers. Received: shape"),
        ({"data": x, "classes": np.zeros(5, int)}, "6 integers. Received"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.fit(data)
    model.build((None, 2))
    for arguments, message in [
        ({"classes": -1}, "from 0 to 1, .* Received: -1"),
        ({"classes": [0]}, "an integer or 2 integers"),
        ({"classes": 0, "guidance": -1.0}, "`guidance` to be a non-negative"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.sample(2, **arguments)
    with pytest.raises(ValueError, match=r"`class_dropout` to be .*\[0, 1\)"):
        make_classes(class_dropout=1.0)
    with pytest.raises(ValueError, match="`num_classes` to be a positive"):
        GaussianTransition(Scaled(), num_classes=0)
