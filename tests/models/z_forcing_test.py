"""`ZForcing`: its objective, its training, and what it can do when trained."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit.layers import CategoricalHead
from keras_seqcredit.layers import GaussianHead
from keras_seqcredit.layers import StochasticRNN
from keras_seqcredit.models import ZForcing
from keras_seqcredit.schedules import FreeBits
from keras_seqcredit.schedules import LinearSchedule
from tests.gradients import FASTEST
from tests.gradients import value_and_gradients
from tests.gradients import with_weights
from tests.laws.running import QUICKLY
from tests.reference import stochastic

BATCH, TIME, FEATURES, UNITS, LATENT, CLASSES = 6, 5, 2, 8, 3, 4


def make_sequences(batch=BATCH, time=TIME):
    random = np.random.default_rng(0)
    return random.normal(size=(batch, time, FEATURES)).astype("float32")


def make_model(**arguments):
    rnn = StochasticRNN(UNITS, LATENT, seed=1)
    return ZForcing(rnn, GaussianHead(FEATURES), seed=2, **arguments)


def make_word_model(**arguments):
    return ZForcing(
        StochasticRNN(UNITS, LATENT, seed=1),
        CategoricalHead(CLASSES),
        embedding=keras.layers.Embedding(CLASSES, 3, mask_zero=True),
        **arguments,
    )


def silence(model):
    """Latents without noise: two calls can be compared."""
    model.stochastic_rnn.latents.noise = lambda shape, seed: ops.zeros(
        (*shape, LATENT)
    )


def test_loss_is_the_sum_of_the_weighted_terms():
    model = make_model(
        kl_weight=0.5, auxiliary_weight=0.25, backward_weight=2.0
    )
    model.compile("sgd", **QUICKLY)
    found = model.evaluate(make_sequences(), verbose=0, return_dict=True)
    weighted = (
        found["nll"]
        + 0.5 * found["kl"]
        + 0.25 * found["auxiliary"]
        + 2 * found["backward_nll"]
    )
    assert found["loss"] == pytest.approx(weighted, rel=1e-5)
    assert found["elbo"] == pytest.approx(-found["nll"] - found["kl"], rel=1e-5)
    assert 0 <= found["active_units"] <= LATENT
    assert min(found["kl"], found["nll"], found["backward_nll"]) > 0


MASK = np.array(
    [
        [1, 1, 1, 1, 1],
        [0, 1, 1, 0, 1],
        [0, 0, 1, 1, 0],
        [1, 0, 0, 0, 1],
        [1, 1, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ],
    bool,
)


def test_loss_and_gradients_equal_the_reference():
    """Every term of the objective, to every weight."""
    weights = dict(kl_weight=0.5, auxiliary_weight=0.25, backward_weight=2.0)
    model = make_model(**weights)
    random = np.random.default_rng(0)
    noise = random.normal(size=(BATCH, TIME, LATENT)).astype("float32")
    model.stochastic_rnn.latents.noise = lambda shape, seed: noise
    sequences = make_sequences()
    model.build(sequences.shape)
    paths = [v.path for v in model.trainable_variables]
    roots = [model.stochastic_rnn.name, model.head.name]
    names = [
        path.removeprefix(f"{roots[0]}/").replace(f"{roots[1]}/", "head/")
        for path in (p.split("/", 1)[1] for p in paths)
    ]
    arrays = [
        sequences,
        *(
            0.6 * random.normal(size=v.shape).astype("float32")
            for v in model.trainable_variables
        ),
    ]

    def of_model(arrays):
        # Padding may hold anything.
        padded = ops.where(MASK[..., None], arrays[0], float("nan"))

        def loss():
            terms = model({"sequences": padded, "mask": MASK})
            return model.compute_loss(y_pred=terms, training=False)

        return with_weights(model, arrays[1:], loss)

    def of_reference(arrays):
        return stochastic.objective(
            dict(zip(names, arrays[1:], strict=True)),
            arrays[0],
            ops.convert_to_tensor(noise),
            2 * [np.zeros((BATCH, UNITS), "float32")],
            mask=MASK,
            **weights,
        )

    value, expected = value_and_gradients(of_reference, arrays, "eager")
    found, gradients = value_and_gradients(of_model, arrays, "jit")
    assert found == pytest.approx(value, rel=1e-5)
    for path, a, b in zip(["x", *paths], gradients, expected, strict=True):
        assert np.abs(b).max() > 0, path
        limit = 1e-4 * max(1, np.abs(b).max())
        np.testing.assert_allclose(a, b, rtol=0, atol=limit, err_msg=path)


def test_padding_changes_nothing():
    model = make_model(auxiliary_weight=1.0, backward_weight=1.0)
    silence(model)
    sequences = make_sequences()
    clean = model({"sequences": sequences, "mask": np.ones((BATCH, TIME)) > 0})
    padded = np.pad(sequences, [(0, 0), (0, 2), (0, 0)], constant_values=np.nan)
    mask = np.arange(TIME + 2) < TIME
    terms = model({"sequences": padded, "mask": np.tile(mask, (BATCH, 1))})
    for name, expected in clean.items():
        found = ops.convert_to_numpy(terms[name])
        np.testing.assert_allclose(
            found[:, :TIME], expected, rtol=1e-5, atol=1e-5, err_msg=name
        )
        if name != "shift":
            assert (found[:, TIME:] == 0).all()
    expected = model.log_likelihood(sequences, num_samples=1)
    found = model.log_likelihood(
        {"sequences": padded, "mask": np.tile(mask, (BATCH, 1))}, num_samples=1
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_backward_network_learns_from_its_likelihood_alone():
    """The others' values and gradients are as they were."""
    weights = {"kl_weight": 0.5, "auxiliary_weight": 0.25}
    data = {"sequences": make_sequences(), "mask": MASK}

    def loss_of(model):
        return model.compute_loss(y_pred=model(data), training=False)

    def found(start, **arguments):
        model = make_model(**arguments)
        silence(model)
        model(data)
        start = start or [v.numpy() for v in model.trainable_variables]
        value, gradients = value_and_gradients(
            lambda arrays: with_weights(model, arrays, lambda: loss_of(model)),
            start,
            FASTEST,
        )
        return start, value, gradients, model.trainable_variables

    start, value, whole, variables = found(None, **weights, backward_weight=2)
    _, alone, own, _ = found(
        start, **weights, backward_weight=2, stop_backward_gradient=True
    )
    _, _, likelihood, _ = found(
        start, kl_weight=0.0, backward_weight=2, stop_backward_gradient=True
    )
    assert alone == pytest.approx(value, rel=1e-6)
    moved = 0
    for variable, a, b, c in zip(
        variables, whole, own, likelihood, strict=True
    ):
        is_backward = "/backward/" in variable.path
        expected = c if is_backward else a
        np.testing.assert_allclose(b, expected, rtol=1e-4, atol=1e-5)
        if is_backward:
            moved += 1
            assert np.abs(b).max() > 0
            assert np.abs(a - b).max() > 1e-3
    assert moved == 3


class Batches(keras.utils.PyDataset):
    """Batches of two examples of nested arrays."""

    def __init__(self, data):
        super().__init__()
        self.data = data

    def __len__(self):
        return BATCH // 2

    def __getitem__(self, index):
        rows = slice(2 * index, 2 * index + 2)
        return keras.tree.map_structure(lambda x: x[rows], self.data)


def as_dataset(data):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(data).batch(2)


def test_every_kind_of_data_is_the_same():
    """Arrays, tf.data and PyDataset; masks, conditions and weights."""
    model = make_model(auxiliary_weight=0.1)
    silence(model)
    inputs = {
        "sequences": make_sequences(),
        "conditions": np.eye(BATCH, 3, dtype="float32"),
        "mask": MASK,
    }
    sample_weight = np.array([1, 0, 2, 1, 0.5, 0], "float32")
    # Not trained: the learning rate is 0.
    model.compile(keras.optimizers.SGD(0.0), **QUICKLY)
    names = {"loss", "nll", "kl", "auxiliary", "backward_nll", "elbo"}
    names.add("active_units")
    # Keras wants targets where there are weights; any will do.
    weighted = (inputs, sample_weight, sample_weight)
    for weight, data in ((None, inputs), (sample_weight, weighted)):
        arrays = {"x": inputs, "sample_weight": weight, "batch_size": 2}
        kinds = [arrays, {"x": as_dataset(data)}, {"x": Batches(data)}]
        results = []
        for kind in kinds:
            history = model.fit(**kind, shuffle=False, verbose=0).history
            results.append({k: v[-1] for k, v in history.items()})
            results.append(model.evaluate(**kind, verbose=0, return_dict=True))
        for found in results:
            assert set(found) == names
            assert found == pytest.approx(results[0], rel=1e-5)
        terms = {k: ops.convert_to_numpy(v) for k, v in model(inputs).items()}
        nll = terms["nll"].sum(axis=1)
        assert found["nll"] == pytest.approx(
            np.average(nll, weights=weight), rel=1e-5
        )
        cost = nll + terms["kl"].sum(axis=(1, 2))
        cost = cost + 0.1 * terms["auxiliary"].sum(axis=1)
        cost = cost if weight is None else weight * cost
        assert found["loss"] == pytest.approx(cost.mean(), rel=1e-5)


def test_training_improves_and_resumes(tmp_path):
    model = make_model(
        kl_weight=LinearSchedule(0.2, 1.0, 10),
        auxiliary_weight=0.1,
        free_bits=FreeBits(0.1),
    )
    model.compile(keras.optimizers.Adam(1e-2))
    sequences = make_sequences()
    history = model.fit(sequences, epochs=20, batch_size=3, verbose=0).history
    assert history["nll"][-1] < history["nll"][0]
    assert int(model.updates.value) == 40
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert int(loaded.updates.value) == 40
    losses = [
        one.fit(
            sequences, epochs=2, batch_size=3, verbose=0, shuffle=False
        ).history["loss"]
        for one in (model, loaded)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_the_loss_has_the_weights_of_the_update(tmp_path):
    model = make_model(
        kl_weight=LinearSchedule(0.2, 1.0, 4),
        auxiliary_weight=LinearSchedule(0.4, 0.0, 5),
        backward_weight=LinearSchedule(0.0, 2.0, 8),
    )
    # Not trained: the learning rate is 0.
    model.compile(keras.optimizers.SGD(0.0), **QUICKLY)
    data = {"sequences": make_sequences(), "mask": MASK}
    logs = []
    for update in range(7):
        if update == 3:
            model.save(tmp_path / "model.keras")
            model = keras.saving.load_model(tmp_path / "model.keras")
        history = model.fit(data, verbose=0).history
        logs.append({name: values[0] for name, values in history.items()})
        # Nothing moves on where nothing is trained.
        model.evaluate(data, verbose=0)
    for update, found in enumerate(logs):
        expected = (
            found["nll"]
            + min(0.2 + 0.2 * update, 1) * found["kl"]
            + max(0.4 - 0.08 * update, 0) * found["auxiliary"]
            + 0.25 * update * found["backward_nll"]
        )
        assert found["loss"] == pytest.approx(expected, rel=1e-4), update


def asked(model, **kwargs):
    """Inputs and targets of the recurrence, as numpy; it does not answer."""
    seen = []

    def infer(inputs, targets, **_):
        seen.extend(map(ops.convert_to_numpy, (inputs, targets)))
        raise NotImplementedError

    model.stochastic_rnn.infer = infer
    with pytest.raises(NotImplementedError):
        model(
            {
                "sequences": make_sequences(),
                "conditions": np.eye(BATCH, 3, dtype="float32"),
                "mask": MASK,
            },
            **kwargs,
        )
    return seen


def test_word_dropout_blinds_the_decoder_in_training_only():
    plain, blind = make_model(), make_model(word_dropout=0.4)
    inputs, targets = asked(plain, training=True)
    generator = keras.random.SeedGenerator(2)  # The seed of the model.
    for _ in range(2):
        dropped = ops.convert_to_numpy(
            keras.random.uniform((BATCH, TIME), seed=generator) < 0.4
        )
        assert 0.1 < dropped.mean() < 0.9
        found, frames = asked(blind, training=True)
        # Whole are the targets, which the backward network reads, and the
        # conditions.
        np.testing.assert_array_equal(frames, targets)
        expected = inputs.copy()
        expected[dropped, :FEATURES] = 0
        np.testing.assert_array_equal(found, expected)
    state = ops.convert_to_numpy(blind.seed_generator.state)
    np.testing.assert_array_equal(asked(blind)[0], inputs)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(blind.seed_generator.state), state
    )
    nothing, _ = asked(make_model(word_dropout=1), training=True)
    assert (nothing[..., :FEATURES] == 0).all()
    assert blind.get_config()["word_dropout"] == 0.4


def test_free_bits_of_valid_steps():
    model = make_model()
    silence(model)
    data = {"sequences": make_sequences(), "mask": MASK}
    terms = {k: ops.convert_to_numpy(v) for k, v in model(data).items()}
    level = terms["kl"][MASK].mean(axis=0)
    # One dimension is below, the others above.
    nats = float(np.sort(level)[:2].mean())
    kl = np.where(level <= nats, nats, terms["kl"]) * MASK[..., None]
    cost = terms["nll"].sum(axis=1) + 0.5 * kl.sum(axis=(1, 2))
    free = ZForcing(
        model.stochastic_rnn,
        model.head,
        kl_weight=0.5,
        free_bits=FreeBits(nats),
    )
    free.compile("sgd", **QUICKLY)
    found = free.evaluate(data, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(cost.mean(), rel=1e-5)
    # What is reported is the divergence itself.
    assert found["kl"] == pytest.approx(terms["kl"].sum() / BATCH, rel=1e-5)
    assert kl.sum() > 1.01 * terms["kl"].sum()


def test_training_is_the_same_without_compilation():
    found = []
    for compile_arguments in ({"jit_compile": True}, {"run_eagerly": True}):
        keras.utils.set_random_seed(0)
        model = make_model(
            kl_weight=0.5, auxiliary_weight=0.25, backward_weight=2.0
        )
        silence(model)
        model.compile(keras.optimizers.SGD(0.01), **compile_arguments)
        history = model.fit(
            {"sequences": make_sequences(), "mask": MASK},
            batch_size=3,
            shuffle=False,
            verbose=0,
        ).history
        weights = [v.value for v in model.trainable_variables]
        found.append((history, [ops.convert_to_numpy(w) for w in weights]))
    (history, weights), (expected_history, expected) = found
    for name, values in expected_history.items():
        assert history[name] == pytest.approx(values, rel=1e-4), name
    for a, b in zip(weights, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_generation():
    model = make_model()
    with pytest.raises(ValueError, match="has not seen data"):
        model.generate(length=3)
    model(make_sequences())
    samples = model.generate(length=TIME, num_samples=3, seed=1)
    assert samples.shape == (3, TIME, FEATURES)
    np.testing.assert_array_equal(
        samples, model.generate(length=TIME, num_samples=3, seed=1)
    )
    assert (samples != model.generate(length=TIME, num_samples=3)).any()
    prompt = make_sequences(2, 3)
    found = model.generate(length=TIME, num_samples=2, prompt=prompt)
    assert found.shape == (4, TIME, FEATURES)
    np.testing.assert_array_equal(found[:, :3], np.repeat(prompt, 2, axis=0))
    assert (found[0, 3:] != found[1, 3:]).any()
    for arguments, message in [
        ({"length": 0}, "`length` to be a positive"),
        ({"length": 2, "num_samples": 0}, "`num_samples` to be a positive"),
        ({"length": 2, "prompt": prompt}, "1 to `length` steps.* 3 steps"),
        ({"length": 2, "temperature": 0}, "`temperature` to be a positive"),
        (
            {"length": 5, "prompt": prompt, "conditions": np.eye(3)},
            "2 prompts, 3 conditions",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            model.generate(**arguments)


def test_words_and_masks():
    model = make_word_model()
    words = np.array([[1, 2, 3, 1, 2], [3, 1, 0, 0, 0]])
    terms = model(words)
    mask = ops.convert_to_numpy(terms["mask"])
    np.testing.assert_array_equal(mask, words > 0)
    assert (ops.convert_to_numpy(terms["nll"])[words == 0] == 0).all()
    samples = model.generate(length=4, num_samples=2, prompt=words[:, :2])
    assert samples.shape == (4, 4)
    assert samples.dtype == "int32"
    between = model.interpolate(words[0], words[0][::-1], steps=3)
    assert between.shape == (3, 5)


def test_conditions():
    model = make_model()
    model.compile("sgd", **QUICKLY)
    data = {"sequences": make_sequences(), "conditions": np.eye(BATCH, 3)}
    model.fit(data, verbose=0)
    assert model.generate(length=4, conditions=np.eye(2, 3)).shape == (
        2,
        4,
        FEATURES,
    )
    assert model.encode(data).shape == (BATCH, TIME, LATENT)
    with pytest.raises(ValueError, match=r"Received: \['condition'"):
        model({"sequences": make_sequences(), "condition": np.eye(BATCH, 3)})


def conditioned(time=None):
    """A model with conditions that matter, of a sequence or of each step."""
    model = make_model()
    shape = (BATCH, 3) if time is None else (BATCH, time, 3)
    random = np.random.default_rng(1)
    data = {
        "sequences": make_sequences(),
        "conditions": random.normal(size=shape).astype("float32"),
    }
    model(data)
    for variable in model.trainable_variables:
        variable.assign(0.7 * random.normal(size=variable.shape))
    return model, data


@pytest.mark.parametrize("time", [None, TIME])
def test_conditions_count_in_all_that_is_made_of_latents(time):
    model, data = conditioned(time)
    latents = model.encode(data, seed=3)
    other = {**data, "conditions": -data["conditions"]}
    assert np.abs(latents - model.encode(other, seed=3)).max() > 1e-2
    steps = model.decode(latents, data["conditions"])
    assert steps.shape == (BATCH, TIME, FEATURES)
    assert np.abs(steps - model.decode(latents, -data["conditions"])).min() > 0
    drawn = [
        model.generate(
            length=TIME, conditions=sign * data["conditions"], seed=3
        )
        for sign in (1, 1, -1)
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert np.abs(drawn[0] - drawn[2]).min() > 0


@pytest.mark.parametrize("time", [None, TIME])
def test_the_ends_of_an_interpolation_are_the_two_themselves(time):
    model, data = conditioned(time)
    ends = {name: values[:2] for name, values in data.items()}
    between = model.interpolate(
        *ends["sequences"], steps=5, conditions=ends["conditions"], seed=3
    )
    expected = model.decode(model.encode(ends, seed=3), ends["conditions"])
    np.testing.assert_allclose(between[[0, -1]], expected, rtol=1e-4, atol=1e-5)
    middle = 0.5 * model.encode(ends, seed=3).sum(axis=0, keepdims=True)
    conditions = 0.5 * ends["conditions"].sum(axis=0, keepdims=True)
    expected = model.decode(middle, conditions)
    np.testing.assert_allclose(between[[2]], expected, rtol=1e-4, atol=1e-5)


def test_conditions_and_prompts_of_the_wrong_shape():
    model, data = conditioned()
    latents = np.zeros((2, TIME, LATENT))
    given = {"length": TIME, "conditions": np.zeros((2, 3))}
    a, b = data["sequences"][:2]
    for run, message in [
        (
            lambda: model.generate(length=TIME),
            "conditions of 3 features.*shape=None",
        ),
        (
            lambda: model.generate(length=TIME, conditions=np.eye(2)),
            r"3 features.*of 5 steps.* shape=\(2, 2\)",
        ),
        (
            lambda: model.generate(length=TIME, conditions=np.zeros((2, 4, 3))),
            r"each of 5 steps.*shape=\(2, 4, 3\)",
        ),
        (
            lambda: model.generate(**given, prompt=np.zeros((2, 3, 1))),
            r"'steps', 2\).*shape=\(2, 3, 1\)",
        ),
        (
            lambda: model.generate(**given, prompt=np.zeros((2, 3))),
            r"'steps', 2\).*shape=\(2, 3\)",
        ),
        (lambda: model.decode(latents), "conditions of 3 features.*shape=None"),
        (
            lambda: model.decode(latents[..., :2], np.zeros((2, 3))),
            r"'time', 3\).*shape=\(2, 5, 2\)",
        ),
        (
            lambda: model.interpolate(a, b),
            "conditions of 3 features.*shape=None",
        ),
        (
            lambda: model.interpolate(a, b, conditions=np.eye(3)),
            r"conditions of 2 sequences.*shape=\(3, 3\)",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            run()
    assert "_compiled_functions" not in vars(model)
    model = make_model()
    model(make_sequences())
    with pytest.raises(ValueError, match=r"no conditions.*\(2, 3\)"):
        model.generate(length=TIME, conditions=np.zeros((2, 3)))


def test_prompts_and_samples_are_the_steps_of_the_recurrence():
    """`generate` by a loop over `step`, without noise but in the head."""
    model, data = conditioned()
    silence(model)
    rnn, start, rows = model.stochastic_rnn, 2, 3
    prompt, conditions = (
        data[name][:rows] for name in ("sequences", "conditions")
    )
    prompt = prompt[:, :start]
    # What the head draws is its mean: here, too, the noise is known.
    model.head.sample = lambda parameters, *unused: model.head.mean(parameters)
    found = model.generate(length=TIME, prompt=prompt, conditions=conditions)
    np.testing.assert_array_equal(found[:, :start], prompt)
    # The latents of a prompt are those of its posterior.
    past = np.concatenate([np.zeros((rows, 1, FEATURES)), prompt[:, :-1]], 1)
    repeated = np.repeat(conditions[:, None], start, axis=1)
    inferred = rnn.infer(
        np.concatenate([past, repeated], -1).astype("float32"), targets=prompt
    )
    frame, state = prompt[:, -1], inferred.states
    for t in range(start, TIME):
        inputs = ops.concatenate([frame, conditions], axis=-1)
        output, state = rnn.step(inputs, state, np.zeros((rows, LATENT)))
        frame = ops.convert_to_numpy(model.head.mean(model.head(output)))
        np.testing.assert_allclose(found[:, t], frame, rtol=1e-4, atol=1e-5)
    assert np.abs(found[:, start:]).min() > 0


def test_a_seed_repeats_what_is_drawn_of_the_posterior():
    model = make_model()
    sequences = make_sequences()
    model(sequences)
    for run in (
        lambda seed: model.log_likelihood(sequences, 3, 4, seed=seed),
        lambda seed: model.encode(sequences, 4, seed=seed),
    ):
        first, again = run(5), run(5)
        np.testing.assert_array_equal(first, again)
        # Other noise in each batch and of another seed.
        for other in (run(6), run(None), run(None)):
            assert (np.abs(first - other).max(axis=-1) > 0).any()
        generator = keras.random.SeedGenerator(5)
        np.testing.assert_array_equal(run(generator), first)
        assert (run(generator) != first).any()


def test_memory_does_not_grow_with_samples(monkeypatch):
    model = make_model()
    sequences = make_sequences()
    model(sequences)
    seen = []
    infer = model.infer

    def spy(sequences, *args, **kwargs):
        seen.append(sequences.values.shape[0])
        return infer(sequences, *args, **kwargs)

    monkeypatch.setattr(model, "infer", spy)
    found = model.log_likelihood(sequences, num_samples=20, batch_size=4)
    assert found.shape == (BATCH,)
    assert set(seen) == {4, 2}


@pytest.mark.parametrize("condition", [False, True])
def test_categorical_latents(condition):
    rnn = StochasticRNN(
        UNITS,
        LATENT,
        latent="categorical",
        num_classes=4,
        condition_auxiliary_on_state=condition,
        seed=1,
    )
    model = ZForcing(rnn, GaussianHead(FEATURES), auxiliary_weight=0.1, seed=2)
    model.compile(keras.optimizers.Adam(1e-2), **QUICKLY)
    sequences = make_sequences()
    history = model.fit(sequences, epochs=2, batch_size=3, verbose=0).history
    assert "active_units" not in history
    logs = model.evaluate(sequences, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(
        logs["nll"] + logs["kl"] + 0.1 * logs["auxiliary"], rel=1e-5
    )
    assert 0 < logs["kl"] < TIME * LATENT * np.log(4)
    latents = model.encode(sequences)
    assert latents.shape == (BATCH, TIME, 4 * LATENT)
    sums = latents.reshape(BATCH, TIME, LATENT, 4).sum(-1)
    np.testing.assert_allclose(sums, 1, rtol=1e-5)
    for samples in (
        model.generate(length=TIME, num_samples=3),
        model.interpolate(sequences[0], sequences[1], steps=3),
    ):
        assert samples.shape == (3, TIME, FEATURES)
        assert np.isfinite(samples).all()
    # More samples, a higher bound, of which the ELBO is the lowest.
    bounds = [model.log_likelihood(sequences, k).mean() for k in (1, 50)]
    assert bounds[0] < bounds[1]
    assert logs["elbo"] < bounds[1] + 0.1


def test_log_likelihood_is_exact_where_it_is_known():
    # With posterior = prior and latents that the state ignores, every sample
    # has the same weight, which is the likelihood itself.
    model = make_model()
    sequences = make_sequences()
    model(sequences)
    rnn = model.stochastic_rnn
    for layer in (rnn._prior, rnn._posterior, rnn._projection):
        for variable in layer.trainable_variables:
            variable.assign(np.zeros(variable.shape))
    value, error = model.log_likelihood(
        sequences, num_samples=3, batch_size=4, return_error=True
    )
    terms = model(sequences)
    expected = -ops.convert_to_numpy(terms["nll"]).sum(1)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert (error < 1e-6).all()


@pytest.mark.parametrize("in_list", [False, True])
def test_nan_is_reported_with_its_batch(in_list, tmp_path):
    model = make_model()
    model.compile("sgd", **QUICKLY)
    sequences = make_sequences(8)
    sequences[5] = np.nan
    path = str(tmp_path / "last.weights.h5")
    saves = keras.callbacks.ModelCheckpoint(
        path, save_weights_only=True, save_freq=1
    )
    callbacks = saves
    if in_list:
        callbacks = keras.callbacks.CallbackList(
            [saves], model=model, epochs=1, steps=4
        )
    with pytest.raises(ValueError, match="batch 2 .* of epoch 1 is not finite"):
        model.fit(
            sequences,
            batch_size=2,
            shuffle=False,
            verbose=0,
            callbacks=callbacks,
        )
    # What was saved last is from before that batch.
    model.load_weights(path)
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kl_weight": "high"}, "a weight to be a finite number"),
        ({"kl_weight": -1}, "`kl_weight` to be a non-negative.*-1"),
        ({"auxiliary_weight": -0.1}, "`auxiliary_weight` to be a non-neg"),
        ({"backward_weight": -2.0}, "`backward_weight` to be a non-negative"),
        ({"free_bits": 0.5}, "`free_bits` to be a `FreeBits`"),
        ({"stop_backward_gradient": True}, "Expected a positive `backward_w"),
        ({"stop_backward_gradient": 2}, "`stop_backward_gradient` to be True"),
        ({"word_dropout": -0.1}, "`word_dropout` to be a number from 0 to 1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_model(**arguments)


def test_a_posterior_without_a_backward_network():
    rnn = StochasticRNN(UNITS, LATENT, posterior="target")
    with pytest.raises(ValueError, match="`backward_weight` uses the backw"):
        ZForcing(rnn, GaussianHead(FEATURES), backward_weight=1.0)
    model = ZForcing(rnn, GaussianHead(FEATURES))
    assert model(make_sequences())["kl"].shape == (BATCH, TIME, LATENT)


def test_an_auxiliary_weight_without_an_auxiliary_cost():
    rnn = StochasticRNN(UNITS, LATENT, auxiliary=None)
    with pytest.raises(ValueError, match="with an `auxiliary`.*auxiliary=None"):
        ZForcing(rnn, GaussianHead(FEATURES), auxiliary_weight=0.1)
    terms = ZForcing(rnn, GaussianHead(FEATURES))(make_sequences())
    assert (ops.convert_to_numpy(terms["auxiliary"]) == 0).all()


def test_sequences_of_weight_0_have_no_active_units():
    model = make_model()
    silence(model)
    model.compile("sgd", **QUICKLY)
    sequences = make_sequences()
    # A mean that would count as not finite, too.
    sequences[-2:] = np.nan
    weights = np.array([1, 2, 1, 1, 0, 0], "float32")
    model.evaluate(sequences, sample_weight=weights, verbose=0)
    found = ops.convert_to_numpy(model._active_units.variances())
    shift = ops.convert_to_numpy(model(sequences[:4])["shift"])
    repeated = np.repeat(shift, [1, 2, 1, 1], axis=0).reshape(-1, LATENT)
    np.testing.assert_allclose(found, repeated.var(axis=0), rtol=1e-4)


@pytest.mark.parametrize("argument", ["go_backwards", "stateful"])
def test_a_recurrence_that_cannot_generate(argument):
    rnn = StochasticRNN(UNITS, LATENT, **{argument: True})
    with pytest.raises(ValueError, match=f"Expected .*{argument}=False"):
        ZForcing(rnn, GaussianHead(FEATURES))


@pytest.mark.parametrize("fit", [False, True])
@pytest.mark.parametrize(
    ("event_size", "dtype", "message"),
    [
        (3, "float32", r"targets of shape \(.*, 5, 3\).* shape=\(.*, 5, 2\)"),
        (2, "int32", "Expected targets of a float dtype.* dtype=int32"),
    ],
)
def test_targets_that_do_not_fit_the_head(event_size, dtype, message, fit):
    model = ZForcing(StochasticRNN(UNITS, LATENT), GaussianHead(event_size))
    model.compile("sgd")
    run = model.fit if fit else model
    with pytest.raises(ValueError, match=message):
        run(make_sequences().astype(dtype))


@pytest.mark.parametrize("number", [0, -1, 2.5])
def test_numbers_of_samples(number):
    model = make_model()
    model(make_sequences())
    message = f"`num_samples` to be a positive .*num_samples={number}"
    with pytest.raises(ValueError, match=message):
        model.log_likelihood(make_sequences(), num_samples=number)
