"""`AutoregressiveRNN`: its density, its samples, and what it is trained on."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit import layers
from keras_seqcredit.models import AutoregressiveRNN
from keras_seqcredit.models.sequences import Sequences
from keras_seqcredit.schedules import LinearSchedule
from tests.gradients import FASTEST
from tests.gradients import value_and_gradients

BATCH, TIME, CLASSES, FEATURES, UNITS = 4, 6, 5, 2, 7

CORES = {
    "gru": lambda: keras.layers.GRUCell(UNITS),
    "layer": lambda: keras.layers.LSTM(UNITS),
    "stack": lambda: [keras.layers.GRUCell(3), keras.layers.LSTMCell(UNITS)],
    "sab": lambda: layers.SABLSTM(UNITS, k_top=2, return_summary=True),
}


def make_words(batch=BATCH, time=TIME):
    return np.random.default_rng(0).integers(0, CLASSES, (batch, time))


def make_sequences(batch=BATCH, time=TIME):
    random = np.random.default_rng(0)
    return random.normal(size=(batch, time, FEATURES)).astype("float32")


def word_model(core="gru", **arguments):
    return AutoregressiveRNN(
        CORES[core](),
        layers.CategoricalHead(CLASSES),
        embedding=keras.layers.Embedding(CLASSES, 3),
        **{"seed": 1, **arguments},
    )


def vector_model(core="gru", **arguments):
    return AutoregressiveRNN(
        CORES[core](), layers.GaussianHead(FEATURES), seed=1, **arguments
    )


def step_by_step(model, sequences, conditions=None):
    """The head's parameters, each step fed with the one before."""
    batch, time = sequences.shape[:2]
    net = model.net
    frame, state = net.start(batch, time)
    found = []
    for t in range(time):
        given = None if conditions is None else conditions[:, t]
        parameters, state = net.step(frame, state, given)
        found.append(parameters)
        frame = net.frame(ops.convert_to_tensor(sequences[:, t]))
    return ops.stack(found, axis=1)


@pytest.mark.parametrize("core", CORES)
def test_density_is_that_of_one_step_after_the_other(core):
    model = vector_model(core)
    sequences = make_sequences()
    conditions = np.random.default_rng(1).normal(size=(BATCH, TIME, 3))
    conditions = conditions.astype("float32")
    data = {"sequences": sequences, "conditions": conditions}
    parameters = model(data)
    expected = step_by_step(model, sequences, conditions)
    np.testing.assert_allclose(parameters, expected, rtol=1e-4, atol=1e-5)
    density = model.head.distribution(ops.convert_to_tensor(expected))
    np.testing.assert_allclose(
        model.log_likelihood(data, batch_size=3),
        ops.sum(density.log_prob(sequences), axis=1),
        rtol=1e-4,
    )


def test_padding_changes_nothing():
    model = vector_model("sab")
    sequences = make_sequences()
    model(sequences)
    expected = model.log_likelihood(sequences)
    padded = np.pad(sequences, [(0, 0), (0, 2), (0, 0)], constant_values=np.nan)
    mask = np.tile(np.arange(TIME + 2) < TIME, (BATCH, 1))
    data = {"sequences": padded, "mask": mask}
    np.testing.assert_allclose(model.log_likelihood(data), expected, rtol=1e-5)
    model.compile("sgd", run_eagerly=FASTEST == "eager")
    found = model.evaluate(data, verbose=0, return_dict=True)
    assert found["nll"] == pytest.approx(-expected.mean(), rel=1e-5)
    bits = -expected.mean() / TIME / np.log(2)
    assert found["bits_per_step"] == pytest.approx(bits, rel=1e-5)


def markov_chain():
    """A model that is a Markov chain, and its transition probabilities."""
    one_hot = keras.layers.Embedding(
        CLASSES, CLASSES, embeddings_initializer="identity"
    )
    cell = keras.layers.SimpleRNNCell(
        CLASSES,
        activation="linear",
        kernel_initializer="identity",
        recurrent_initializer="zeros",
    )
    model = AutoregressiveRNN(
        cell, layers.CategoricalHead(CLASSES), embedding=one_hot, seed=3
    )
    model(make_words())
    random = np.random.default_rng(2)
    probabilities = random.dirichlet(np.full(CLASSES, 2.0), CLASSES)
    model.head.projection.kernel.assign(np.log(probabilities))
    return model, probabilities


def chi_square(samples, probabilities):
    """Of the transitions, and of the first step, which is uniform."""
    counts = np.zeros((CLASSES + 1, CLASSES))
    np.add.at(counts, (samples[:, :-1].ravel(), samples[:, 1:].ravel()), 1)
    np.add.at(counts, (CLASSES, samples[:, 0]), 1)
    expected = np.vstack([probabilities, np.full(CLASSES, 1 / CLASSES)])
    expected = expected * counts.sum(axis=1, keepdims=True)
    return ((counts - expected) ** 2 / expected).sum()


# The 99.9 % quantile of chi-square with 6 * 4 degrees of freedom.
QUANTILE = 51.2


def test_samples_follow_the_distribution_of_the_head():
    model, probabilities = markov_chain()
    samples = model.generate(length=40, num_samples=500, seed=0)
    assert chi_square(samples, probabilities) < QUANTILE
    assert (
        chi_square(samples, np.roll(probabilities, 1, axis=1)) > 10 * QUANTILE
    )
    # What scheduled sampling and Professor Forcing read.
    given = np.zeros((500, 40), "int32")
    free = ops.convert_to_numpy(
        model._compiled(
            "free", lambda x: model.net.sample(Sequences(x)).values
        )(given)
    )
    assert chi_square(free, probabilities) < QUANTILE
    # Rows do not mix: all are different draws.
    assert len(np.unique(free, axis=0)) == 500


def test_generation_can_be_streamed():
    model = word_model("sab")
    model(make_words())
    prompt = make_words(2, 3)
    arguments = {"num_samples": 2, "prompt": prompt, "seed": 5, "top_k": 3}
    whole = model.generate(length=11, **arguments)
    assert whole.shape == (4, 11)
    np.testing.assert_array_equal(whole[:, :3], np.repeat(prompt, 2, axis=0))
    np.testing.assert_array_equal(whole, model.generate(length=11, **arguments))
    chunks = list(model.stream(length=11, chunk_size=4, **arguments))
    assert [chunk.shape[1] for chunk in chunks] == [4, 4, 3]
    np.testing.assert_array_equal(whole, np.concatenate(chunks, axis=1))
    other = model.generate(length=11, **{**arguments, "seed": 6})
    assert (whole[:, 3:] != other[:, 3:]).any()


def test_generation_ends_at_the_symbol_of_the_end():
    model = word_model()
    model(make_words())
    plain = model.generate(length=200, num_samples=3, seed=0)
    ended = model.generate(length=200, num_samples=3, seed=0, stop=2)
    assert ended.shape == plain.shape
    for with_stop, without in zip(ended, plain, strict=True):
        end = np.argmax(without == 2) + 1
        np.testing.assert_array_equal(with_stop[:end], without[:end])
        assert (with_stop[end:] == 2).all()
    chunks = list(
        model.stream(length=200, num_samples=3, seed=0, stop=2, chunk_size=50)
    )
    assert len(chunks) < 4


def test_the_prompt_ends_nothing():
    model = word_model()
    model(make_words())
    # The end is in the prompt, on both sides of a look for it, and after it.
    prompt = np.full((3, 70), 2)
    arguments = {"prompt": prompt, "num_samples": 2, "seed": 0}
    plain = model.generate(length=200, **arguments)
    ended = model.generate(length=200, **arguments, stop=2)
    np.testing.assert_array_equal(ended[:, :70], 2)
    assert len(set(np.argmax(plain[:, 70:] == 2, axis=1))) > 1
    for with_stop, without in zip(ended, plain, strict=True):
        end = 70 + np.argmax(without[70:] == 2) + 1
        np.testing.assert_array_equal(with_stop[:end], without[:end])
        assert (with_stop[end:] == 2).all()


def test_the_prompt_is_read():
    model, probabilities = markov_chain()
    best = probabilities.argmax(axis=1)
    prompt = np.stack([np.zeros(CLASSES, "int"), np.arange(CLASSES)], axis=1)
    cold = {"temperature": 1e-3, "seed": 0}
    found = model.generate(length=3, prompt=prompt, **cold)
    np.testing.assert_array_equal(found[:, 2], best)
    found = model.forecast(prompt, horizon=2, num_samples=3, **cold)
    np.testing.assert_array_equal(found[:, :, 0], np.tile(best, (3, 1)).T)
    np.testing.assert_array_equal(found[:, :, 1], best[found[:, :, 0]])


def test_few_classes_and_a_low_temperature():
    model, probabilities = markov_chain()
    samples = model.generate(length=30, num_samples=50, top_k=2, seed=0)
    best = np.argsort(-probabilities, axis=1)[:, :2]
    for before, after in zip(samples[:, :-1].T, samples[:, 1:].T, strict=True):
        assert (best[before] == after[:, None]).any(axis=1).all()
    cold = model.generate(length=30, num_samples=5, temperature=1e-3, seed=0)
    np.testing.assert_array_equal(
        cold[:, 1:], probabilities.argmax(axis=1)[cold[:, :-1]]
    )


def test_forecasts_and_conditions():
    model = vector_model(condition_network=keras.layers.Embedding(3, 4))
    data = {"sequences": make_sequences(), "conditions": np.arange(BATCH) % 3}
    model(data)
    found = model.forecast(
        data["sequences"],
        horizon=5,
        num_samples=3,
        conditions=data["conditions"],
        seed=0,
    )
    assert found.shape == (BATCH, 3, 5, FEATURES)
    other = model.forecast(
        data["sequences"],
        horizon=5,
        num_samples=3,
        conditions=np.zeros(BATCH, "int"),
        seed=0,
    )
    same = data["conditions"] == 0
    np.testing.assert_array_equal(found[same], other[same])
    assert (found[~same] != other[~same]).all()


def follower():
    """A model whose draws are its conditions, but for a little noise."""
    cell = keras.layers.SimpleRNNCell(
        FEATURES, activation="linear", recurrent_initializer="zeros"
    )
    model = AutoregressiveRNN(cell, layers.GaussianHead(FEATURES), seed=1)
    shape = (None, None, FEATURES)
    model.build({"sequences": shape, "conditions": shape})
    # What it reads: the step before, and the conditions of this one.
    cell = model.core.cell
    cell.kernel.assign(np.vstack([np.zeros((2, 2)), np.eye(2)]))
    model.head.projection.kernel.assign(np.eye(2, 4))
    model.head.projection.bias.assign([0, 0, -20, -20])
    return model


def test_each_step_is_drawn_by_its_own_conditions():
    model = follower()
    conditions = make_sequences(2, 9)
    expected = np.repeat(conditions, 3, axis=0)
    given = {"num_samples": 3, "conditions": conditions, "temperature": 1e-6}
    close = {"atol": 1e-3}
    found = model.generate(length=9, **given)
    np.testing.assert_allclose(found, expected, **close)
    chunks = list(model.stream(length=9, chunk_size=4, **given))
    np.testing.assert_allclose(np.concatenate(chunks, 1), expected, **close)
    found = model.forecast(np.zeros((2, 4, FEATURES)), horizon=5, **given)
    expected = np.repeat(conditions[:, None, 4:], 3, axis=1)
    np.testing.assert_allclose(found, expected, **close)


def test_prompts_of_different_lengths():
    model = follower()
    conditions = make_sequences(3, 9)
    prompt = make_sequences(3, 4) + 5
    mask = np.arange(4) < np.array([[4], [1], [3]])
    padded = np.where(mask[..., None], prompt, np.nan)
    given = {"conditions": conditions, "temperature": 1e-6, "seed": 0}
    expected = conditions.copy()
    expected[:, :4][mask] = prompt[mask]
    found = model.generate(length=9, prompt=padded, prompt_mask=mask, **given)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    chunks = model.stream(
        length=9, prompt=padded, prompt_mask=mask, chunk_size=2, **given
    )
    np.testing.assert_allclose(
        np.concatenate(list(chunks), axis=1), expected, atol=1e-3
    )
    # The horizon begins where the context ends.
    found = model.forecast(
        padded, horizon=5, num_samples=2, context_mask=mask, **given
    )
    for row, end in enumerate((4, 1, 3)):
        ahead = np.repeat(conditions[row, None, end : end + 5], 2, axis=0)
        np.testing.assert_allclose(found[row], ahead, atol=1e-3)


def test_a_mask_of_all_is_none():
    model = word_model()
    words = make_words()
    model(words)
    whole = np.ones((BATCH, 3), bool)
    for stop in (None, 2):
        found, expected = (
            model.generate(
                length=9,
                num_samples=2,
                prompt=words[:, :3],
                stop=stop,
                seed=0,
                prompt_mask=mask,
            )
            for mask in (whole, None)
        )
        np.testing.assert_array_equal(found, expected)
    # What the padding holds ends nothing, and need not be a class.
    cut = whole.copy()
    cut[1:, 1:] = False
    padded = np.where(cut, words[:, :3], 99)
    found = model.generate(
        length=9, prompt=padded, prompt_mask=cut, stop=CLASSES - 1, seed=0
    )
    assert found.max() < CLASSES
    for mask in (~whole, whole[:, :2], np.eye(4, 3, dtype=bool)):
        with pytest.raises(ValueError, match="True at one step or more"):
            model.generate(length=9, prompt=words[:, :3], prompt_mask=mask)
    with pytest.raises(ValueError, match=r"prompt.shape=None"):
        model.generate(length=9, prompt_mask=whole)


@pytest.mark.parametrize("core", ["gru", "sab"])
def test_own_samples_are_read_as_a_loop_would(core):
    model = vector_model(core)
    sequences = ops.convert_to_tensor(make_sequences())
    model(sequences)
    coins = np.random.default_rng(3).random((TIME, BATCH)) < 0.5
    model.seed_generator.state.assign([7, 7])
    given = Sequences(sequences)
    mixed = ops.convert_to_numpy(model.net.sample(given, coins).values)
    np.testing.assert_array_equal(
        mixed[~coins.T], ops.convert_to_numpy(sequences)[~coins.T]
    )
    # The sample of a step is drawn given the mixed steps before it.
    parameters = ops.convert_to_numpy(step_by_step(model, mixed))
    mean, log_variance = np.split(parameters, 2, axis=-1)
    noise = (mixed - mean) / np.exp(log_variance / 2)
    model.seed_generator.state.assign([7, 7])
    given = Sequences(sequences + 1)
    again = ops.convert_to_numpy(model.net.sample(given).values)
    parameters = ops.convert_to_numpy(step_by_step(model, again))
    mean, log_variance = np.split(parameters, 2, axis=-1)
    same_noise = (again - mean) / np.exp(log_variance / 2)
    np.testing.assert_allclose(
        noise[coins.T], same_noise[coins.T], rtol=1e-3, atol=1e-4
    )
    # The first step reads the start, whatever the data are.
    assert np.abs(same_noise).max() < 5


def test_rows_of_a_free_run_do_not_mix():
    model = vector_model("sab")
    conditions = make_sequences()
    model({"sequences": make_sequences(), "conditions": conditions})
    other = conditions.copy()
    other[1] += 1
    runs = []
    for given in (conditions, other):
        model.seed_generator.state.assign([7, 7])
        drawn = Sequences(make_sequences(), ops.convert_to_tensor(given))
        own = model.net.sample(drawn).values
        runs.append(ops.convert_to_numpy(own))
    same = (runs[0] == runs[1]).all(axis=(1, 2))
    np.testing.assert_array_equal(same, [True, False, True, True])


def test_padding_changes_nothing_of_scheduled_sampling():
    model = vector_model(sampling_probability=0.5)
    sequences = make_sequences()
    model(sequences)
    mask = np.arange(TIME) < np.array([[6], [2], [4], [6]])
    variables = model.trainable_variables
    weights = [ops.convert_to_numpy(v.value) for v in variables]
    seed = model.seed_generator.state
    found = []
    for padding in (0.0, np.nan):
        padded = np.where(mask[..., None], sequences, np.float32(padding))
        data = {"sequences": padded, "mask": mask}

        def loss(weights, data=data):
            mapping = list(zip(variables, weights, strict=True))
            mapping += [(model.updates, ops.zeros((), "int32"))]
            mapping += [(seed, ops.cast([7, 7], seed.dtype))]
            with keras.StatelessScope(state_mapping=mapping):
                parameters = model(data, training=True)
                nats = model.head.log_prob(
                    parameters, data["sequences"], data["mask"]
                )
            return -ops.sum(nats)

        found.append(value_and_gradients(loss, weights, FASTEST))
    (value, gradients), (again, others) = found
    assert np.isfinite(value) and value == again
    for a, b in zip(gradients, others, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.isfinite(a).all() and np.abs(a).max() > 0


@pytest.mark.parametrize("updates", [0, 5, 10])
def test_coins_fall_as_scheduled(updates):
    schedule = LinearSchedule(0.1, 0.9, 10)
    model = vector_model(sampling_probability=schedule)
    model(make_sequences())
    model.updates.assign(updates)
    coins = ops.convert_to_numpy(model._coins(np.zeros((100, 100))))
    expected = float(schedule(updates))
    assert expected == pytest.approx(0.1 + 0.08 * updates)
    # Five standard deviations of the mean are below 0.025.
    assert coins.mean() == pytest.approx(expected, abs=0.025)


def test_gradient_of_scheduled_sampling_is_that_of_a_loop():
    model = vector_model(sampling_probability=0.5)
    sequences = make_sequences()
    model(sequences)
    variables = model.trainable_variables
    model.seed_generator.state.assign([7, 7])
    state = ops.convert_to_numpy(model.seed_generator.state.value)

    def mixed_input():
        mapping = [(model.seed_generator.state, ops.convert_to_tensor(state))]
        mapping += [(v, v.value) for v in variables]
        with keras.StatelessScope(state_mapping=mapping):
            coins = model._coins(sequences)
            given = Sequences(ops.convert_to_tensor(sequences))
            return model.net.sample(given, coins).values

    given = ops.convert_to_numpy(mixed_input())
    assert 0 < (given == sequences).mean() < 1

    def loss(weights, run):
        mapping = list(zip(variables, weights, strict=True))
        mapping += [(model.seed_generator.state, ops.convert_to_tensor(state))]
        with keras.StatelessScope(state_mapping=mapping):
            return -ops.mean(model.head.log_prob(run(), sequences))

    weights = [ops.convert_to_numpy(v.value) for v in variables]
    value, found = value_and_gradients(
        lambda w: loss(w, lambda: model(sequences, training=True)),
        weights,
        FASTEST,
    )
    expected_value, expected = value_and_gradients(
        lambda w: loss(w, lambda: step_by_step(model, given)), weights, FASTEST
    )
    np.testing.assert_allclose(value, expected_value, rtol=1e-5)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("core", CORES)
def test_a_run_on_data_and_a_free_one_in_one_loop_are_two(core):
    model = vector_model(core)
    mask = np.arange(TIME) < np.array([[6], [2], [4], [6]])
    sequences = make_sequences()
    conditions = np.random.default_rng(1).normal(size=(BATCH, TIME, 3))
    for x in (sequences, conditions):
        x[~mask] = np.nan  # Padding may hold anything.
    given = Sequences(
        *(
            ops.convert_to_tensor(x)
            for x in (sequences, conditions.astype("float32"), mask)
        )
    )
    model({"sequences": given[0], "conditions": given[1], "mask": given[2]})
    state = ops.convert_to_numpy(model.seed_generator.state.value)
    own = ops.convert_to_numpy(model.net.sample(given).values)
    variables = model.trainable_variables

    def loss(run):
        def of_weights(weights):
            mapping = list(zip(variables, weights, strict=True))
            seed = model.seed_generator.state
            mapping += [(seed, ops.convert_to_tensor(state))]
            with keras.StatelessScope(state_mapping=mapping):
                hidden, parameters = run()
            valid = np.concatenate([mask, mask])[..., None]
            hidden = ops.where(valid, hidden, 0.0)
            return ops.sum(hidden**3) + ops.sum(
                ops.where(valid, parameters, 0.0) ** 2
            )

        return of_weights

    def together():
        return model.net.run_freely(given, with_data=True)

    def apart():
        free = given._replace(values=own)
        runs = [model.net.run(x) for x in (given, free)]
        return [ops.concatenate(parts) for parts in zip(*runs, strict=True)]

    weights = [ops.convert_to_numpy(v.value) for v in variables]
    value, found = value_and_gradients(loss(together), weights, FASTEST)
    expected_value, expected = value_and_gradients(
        loss(apart), weights, FASTEST
    )
    np.testing.assert_allclose(value, expected_value, rtol=1e-5)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_training_improves_and_resumes(tmp_path):
    model = word_model(sampling_probability=LinearSchedule(0.0, 0.5, 10))
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=True)
    words = make_words()
    history = model.fit(words, epochs=15, batch_size=2, verbose=0).history
    assert history["nll"][-1] < history["nll"][0]
    assert int(model.updates.value) == 30
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    losses = [
        one.fit(
            words, epochs=2, batch_size=2, verbose=0, shuffle=False
        ).history["loss"]
        for one in (model, loaded)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    np.testing.assert_array_equal(
        model.generate(length=5, seed=1), loaded.generate(length=5, seed=1)
    )


def test_nan_is_reported_with_its_batch():
    model = vector_model()
    model.compile("sgd", run_eagerly=FASTEST == "eager")
    sequences = make_sequences(8)
    sequences[5] = np.nan
    with pytest.raises(ValueError, match="batch 2 .* of epoch 1 is not finite"):
        model.fit(sequences, batch_size=2, shuffle=False, verbose=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 0}, "`length` to be a positive"),
        ({"num_samples": 0}, "`num_samples` to be a positive"),
        ({"temperature": 0}, "`temperature` to be a positive"),
        ({"top_k": 0}, "`top_k` to be a positive"),
        (
            {"prompt": [[0, 7, 9]]},
            r"can draw.*5 parameters. Received: \[7, 9\]",
        ),
        ({"prompt": np.zeros((2, 0), "int")}, "1 to `length` steps.* zeros"),
        ({"prompt": np.zeros((2, 9), "int")}, "1 to `length` steps"),
        ({"prompt": np.zeros((2, 2, 2))}, r"prompt \(batch, steps\)"),
        ({"stop": CLASSES}, "`stop` to be a class .*5 parameters.*stop=5"),
        ({"stop": -1}, "`stop` to be a class"),
        ({"conditions": np.eye(3)}, "no conditions.*Received: shape=.3, 3"),
    ],
)
def test_bad_generation(arguments, message):
    model = word_model()
    with pytest.raises(ValueError, match="has not seen data"):
        model.generate(length=3)
    model.build((None, TIME))
    with pytest.raises(ValueError, match=message):
        model.generate(**{"length": 4, **arguments})


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (None, "conditions of 3 features.* each of 4 steps.*shape=None"),
        (np.zeros((2, 4)), r"conditions of 3 features.*shape=\(2, 4\)"),
        (np.zeros((2, 3, 3)), r"each of 4 steps.*shape=\(2, 3, 3\)"),
        (np.zeros((2, 5, 3)), r"each of 4 steps.*shape=\(2, 5, 3\)"),
    ],
)
def test_bad_conditions(conditions, message):
    model = vector_model()
    data = {"sequences": make_sequences(2), "conditions": np.zeros((2, 3))}
    model(data)
    with pytest.raises(ValueError, match=message):
        model.generate(length=4, conditions=conditions)
    with pytest.raises(ValueError, match=message):
        model.forecast(make_sequences(2, 3), horizon=1, conditions=conditions)


def test_bad_arguments():
    head = layers.GaussianHead(FEATURES)
    for core in (
        keras.layers.Dense(3),
        keras.layers.Bidirectional(CORES["layer"]()),
    ):
        with pytest.raises(ValueError, match="`core` to run step by step"):
            AutoregressiveRNN(core, head)
    with pytest.raises(ValueError, match="Received: core=<SABLSTM"):
        AutoregressiveRNN(layers.SABLSTM(3, go_backwards=True), head)
    for arguments in ({"go_backwards": True}, {"stateful": True}):
        with pytest.raises(ValueError, match=next(iter(arguments)) + "=True"):
            AutoregressiveRNN(keras.layers.GRU(3, **arguments), head)
    with pytest.raises(ValueError, match="a number from 0 to 1 or a schedule"):
        AutoregressiveRNN(CORES["gru"](), head, sampling_probability=1.5)
    with pytest.raises(ValueError, match=r"`embedding` that outputs this"):
        AutoregressiveRNN(CORES["gru"](), head)(np.zeros((2, 3)))
    model = vector_model()
    model(make_sequences())
    with pytest.raises(ValueError, match="`top_k` applies to classes"):
        model.generate(length=3, top_k=2)
    with pytest.raises(ValueError, match="one condition for each prompt"):
        model.generate(length=8, prompt=make_sequences(), conditions=np.eye(3))
    with pytest.raises(ValueError, match=r"Received: \['condition'"):
        model({"sequences": make_sequences(), "condition": np.eye(BATCH, 3)})
