"""What a generator reads of its own values, and gradients through them."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit import layers
from keras_seqcredit.models import AutoregressiveRNN
from keras_seqcredit.models.sequences import Sequences
from keras_seqcredit.schedules import LinearSchedule
from keras_seqcredit.seeds import FixedSeed
from tests.gradients import FASTEST
from tests.gradients import MODES
from tests.gradients import value_and_gradients

BATCH, TIME, CLASSES, FEATURES, UNITS = 4, 6, 5, 2, 7
MASK = np.arange(TIME) < np.array([[6], [2], [4], [6]])


def make_sequences(classes=False):
    random = np.random.default_rng(0)
    if classes:
        return random.integers(0, CLASSES, (BATCH, TIME))
    return random.normal(size=(BATCH, TIME, FEATURES)).astype("float32")


def vector_model(head=None, core=None, **arguments):
    return AutoregressiveRNN(
        core or keras.layers.GRUCell(UNITS),
        head or layers.GaussianHead(FEATURES),
        seed=1,
        **arguments,
    )


def word_model(**arguments):
    return AutoregressiveRNN(
        [keras.layers.GRUCell(3), keras.layers.LSTMCell(UNITS)],
        layers.CategoricalHead(CLASSES),
        embedding=keras.layers.Embedding(CLASSES, 3),
        seed=1,
        **arguments,
    )


def gaussian(parameters, sample):
    """What a draw is, for noise that is known from its value."""
    mean, log_variance = ops.split(parameters, 2, axis=-1)
    scale = ops.exp(log_variance / 2)
    noise = ops.stop_gradient((sample - mean) / scale)
    return mean + scale * noise


def of_class(model):
    def frame(parameters, sample):
        table = model.embedding(np.arange(CLASSES)[None])[0]
        soft = ops.softmax(parameters)
        soft = soft - ops.stop_gradient(soft)
        straight = ops.matmul(soft, ops.stop_gradient(table))
        return ops.take(table, sample, axis=0) + straight

    return frame


def naive_run(model, given, keys, own, frame_of):
    """Parameters of each step, by a plain loop that is differentiated."""
    net = model.net
    frame, state = net.start(BATCH, TIME)
    found = []
    for t in range(TIME):
        conditions = None
        if given.conditions is not None:
            conditions = given.conditions[:, t]
        parameters, after = net.step(frame, state, conditions)
        found.append(parameters)
        sample = model.head.sample(parameters, FixedSeed(keys[t]))
        after_frame = frame_of(parameters, ops.stop_gradient(sample))
        if own is not None:
            share = ops.cast(own[t], "float32")[:, None]
            data = net.frame(ops.convert_to_tensor(given.values)[:, t])
            after_frame = share * after_frame + (1 - share) * data
        if given.mask is not None:
            valid = given.mask[:, t][:, None]
            after_frame = ops.where(valid, after_frame, frame)
            after = [
                ops.where(valid, a, b) if len(a.shape) else a
                for a, b in zip(after, state, strict=True)
            ]
        frame, state = after_frame, after
    return ops.stack(found, axis=1)


SHARES = np.random.default_rng(2).random((TIME, BATCH)).astype("float32")
CASES = {
    "free": (vector_model, None, False),
    "masked_shares": (vector_model, SHARES, True),
    "coins": (vector_model, SHARES < 0.5, False),
    "classes": (word_model, None, True),
    "shares_of_classes": (word_model, SHARES, False),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients_through_samples_are_those_of_a_loop(name):
    make, own, masked = CASES[name]
    model = make()
    is_word = make is word_model
    sequences = make_sequences(is_word)
    conditions = np.random.default_rng(1).normal(size=(BATCH, TIME, 3))
    conditions = conditions.astype("float32")
    mask = ops.convert_to_tensor(MASK) if masked else None
    model({"sequences": sequences, "conditions": conditions})
    given = Sequences(
        ops.convert_to_tensor(sequences),
        ops.convert_to_tensor(conditions),
        mask,
    )
    variables = model.trainable_variables
    seed = model.seed_generator.state
    state = ops.convert_to_numpy(seed.value)
    keys = FixedSeed.draw(model.seed_generator, TIME, model.seed_generator)
    frame_of = of_class(model) if is_word else gaussian

    def loss(run):
        def of_weights(weights):
            mapping = list(zip(variables, weights, strict=True))
            mapping += [(seed, ops.convert_to_tensor(state))]
            with keras.StatelessScope(state_mapping=mapping):
                parameters = run()
            if masked:
                parameters = ops.where(MASK[..., None], parameters, 0.0)
            return ops.sum(
                ops.sin(parameters) * np.arange(1.0, 1 + TIME)[:, None]
            )

        return of_weights

    weights = [ops.convert_to_numpy(v.value) for v in variables]
    expected_value, expected = value_and_gradients(
        loss(lambda: naive_run(model, given, keys, own, frame_of)),
        weights,
        "eager" if FASTEST == "eager" else "jit",
    )
    own = None if own is None else ops.convert_to_tensor(own)
    for mode in MODES[:1]:
        value, found = value_and_gradients(
            loss(
                lambda: (
                    model.net.run_freely(
                        given, own=own, sample_gradient=True
                    ).parameters
                )
            ),
            weights,
            mode,
        )
        np.testing.assert_allclose(value, expected_value, rtol=1e-4)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
        assert np.abs(found[0]).max() > 1e-3


def test_shares_without_gradient_read_mixtures():
    # The values are those of the loop that has the gradient, for either way
    # to run: steps that are replayed, and a second run.
    for core in (keras.layers.GRUCell(UNITS), keras.layers.LSTM(UNITS)):
        model = vector_model(core=core)
        sequences = ops.convert_to_tensor(make_sequences())
        model(sequences)
        found = []
        for gradient in (False, True):
            model.seed_generator.state.assign([7, 7])
            behavior = model.net.run_freely(
                Sequences(sequences),
                own=ops.convert_to_tensor(SHARES),
                sample_gradient=gradient,
            )
            found.append(ops.convert_to_numpy(behavior.parameters))
        np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5)


def test_a_share_of_none_is_teacher_forcing_and_of_all_a_free_run():
    model = vector_model()
    sequences = ops.convert_to_tensor(make_sequences())
    model(sequences)
    given = Sequences(sequences)
    for share, other in ((0.0, None), (1.0, np.ones((TIME, BATCH), bool))):
        model.seed_generator.state.assign([7, 7])
        own = ops.full((TIME, BATCH), share)
        found = model.net.run_freely(given, own=own).parameters
        model.seed_generator.state.assign([7, 7])
        expected = model.net.run(given)
        if other is not None:
            expected = model.net.run_freely(given, own=other)
        np.testing.assert_allclose(
            found, expected.parameters, rtol=1e-5, atol=1e-6
        )


def test_where_own_values_are_read():
    model = vector_model(rollout_steps=3)
    model(make_sequences())
    windows = ops.convert_to_numpy(model._coins(np.zeros((50, 60))))
    assert windows.shape == (60, 50) and windows.dtype == bool
    # Three on, three off, each row from a phase of its own.
    np.testing.assert_array_equal(windows[:-3], ~windows[3:])
    changes = (windows[1:] != windows[:-1]).sum(axis=0)
    assert set(changes) <= {19, 20}
    assert len(np.unique(windows[:6], axis=1).T) == 6
    model = vector_model(own_share=LinearSchedule(1.0, 0.0, 10))
    model(make_sequences())
    model.updates.assign(4)
    share = ops.convert_to_numpy(model._coins(np.zeros((2, 3))))
    np.testing.assert_allclose(share, np.full((3, 2), 0.6), rtol=1e-6)
    model = vector_model(own_share=0.25, rollout_steps=2)
    model(make_sequences())
    share = ops.convert_to_numpy(model._coins(np.zeros((20, 8))))
    assert set(np.unique(share)) == {0.25, 1.0}


@pytest.mark.parametrize(
    "arguments",
    [
        {"own_share": LinearSchedule(0.0, 0.5, 4)},
        {"rollout_steps": 2, "sample_gradient": True},
    ],
    ids=["share", "rollout"],
)
def test_training_is_saved_and_goes_on(arguments, tmp_path):
    model = vector_model(**arguments)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.5))
    x = make_sequences()
    model.fit(x, batch_size=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for name, value in model.get_config().items():
        if not isinstance(value, dict):
            assert loaded.get_config()[name] == value, name
    losses = [
        one.fit(x, batch_size=2, shuffle=False, verbose=0).history["loss"]
        for one in (model, loaded)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    # Of use, nothing is drawn.
    assert model.evaluate(x, verbose=0) == model.evaluate(x, verbose=0)


def test_bad_arguments():
    for arguments, message in [
        ({"own_share": 1.5}, "`own_share` to be a number from 0 to 1"),
        ({"rollout_steps": 0}, "`rollout_steps` to be a positive integer"),
        ({"sample_gradient": 2}, "`sample_gradient` to be True or False"),
    ]:
        with pytest.raises(ValueError, match=message):
            vector_model(**arguments)
    for head in (
        layers.PenStrokeHead(2),
        layers.DiscretizedLogisticMixtureHead(2),
    ):
        with pytest.raises(ValueError, match="have no gradient with respect"):
            vector_model(head, sample_gradient=True)
    for core, message in [
        (layers.SABGRU(4), "neither attends .* SABGRU with k_top=5"),
        (keras.layers.GRUCell(4, dropout=0.1), "dropout=0.1"),
        ([keras.layers.LSTMCell(4, recurrent_dropout=0.2)], "dropout=0.2"),
        (
            layers.SparseAttentiveRNN(
                keras.layers.GRUCell(4), k_top=0, k_trunc=3
            ),
            "k_trunc=3",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            vector_model(core=core, sample_gradient=True)


HEADS = {
    "gaussian": lambda: layers.GaussianHead(3),
    "mixture": lambda: layers.GaussianMixtureHead(3, num_components=2),
    "bernoulli": lambda: layers.BernoulliHead(3),
    "categorical": lambda: layers.CategoricalHead(4),
}


@pytest.mark.parametrize("name", HEADS)
def test_samples_with_gradient_are_samples(name):
    head = HEADS[name]()
    shape = (1, head.num_parameters)
    parameters = np.random.default_rng(0).normal(size=shape)
    parameters = parameters.repeat(2000, axis=0).astype("float32")
    sample = ops.convert_to_numpy(head.sample(parameters, 3))
    found = head.sample_with_gradient(ops.convert_to_tensor(parameters), 3)
    if name == "categorical":
        sample = np.eye(4)[sample]
    np.testing.assert_allclose(found, sample, rtol=1e-5, atol=1e-5)
    numbers = np.arange(1.0, 1 + sample.shape[-1], dtype="float32")

    # On the mean it is the gradient of the mean.
    def drawn(arrays):
        sample = head.sample_with_gradient(arrays[0], 3)
        return ops.sum(ops.mean(sample, axis=0) * numbers)

    def expected(arrays):
        return ops.sum(ops.mean(head.mean(arrays[0]), axis=0) * numbers)

    a, b = (
        value_and_gradients(f, [parameters], FASTEST)[1][0].sum(axis=0)
        for f in (drawn, expected)
    )
    np.testing.assert_allclose(a, b, atol=0.25)
    assert np.abs(b).max() > 0.2
