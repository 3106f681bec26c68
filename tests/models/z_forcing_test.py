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


def test_loss_is_the_sum_of_the_weighted_terms():
    model = make_model(
        kl_weight=0.5, auxiliary_weight=0.25, backward_weight=2.0
    )
    model.compile("sgd")
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


def test_padding_changes_nothing():
    model = make_model(auxiliary_weight=1.0, backward_weight=1.0)
    model.stochastic_rnn.latents.noise = lambda shape, seed: ops.zeros(
        (*shape, LATENT)
    )
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


# On JAX, training that is not compiled takes minutes.
@pytest.mark.parametrize("jit_compile", [True, "auto"])
def test_training_improves_and_resumes(jit_compile, tmp_path):
    model = make_model(
        kl_weight=LinearSchedule(0.2, 1.0, 10),
        auxiliary_weight=0.1,
        free_bits=FreeBits(0.1),
    )
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=jit_compile)
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


def test_generation():
    model = make_model()
    with pytest.raises(ValueError, match="has not seen data"):
        model.generate(3)
    model(make_sequences())
    samples = model.generate(TIME, num_samples=3, seed=1)
    assert samples.shape == (3, TIME, FEATURES)
    np.testing.assert_array_equal(
        samples, model.generate(TIME, num_samples=3, seed=1)
    )
    assert (samples != model.generate(TIME, num_samples=3)).any()
    prompt = make_sequences(2, 3)
    found = model.generate(TIME, num_samples=2, prompt=prompt)
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
    samples = model.generate(4, num_samples=2, prompt=words[:, :2])
    assert samples.shape == (4, 4)
    assert samples.dtype == "int32"
    between = model.interpolate(words[0], words[0][::-1], steps=3)
    assert between.shape == (3, 5)


def test_conditions():
    model = make_model()
    model.compile("sgd")
    data = {"sequences": make_sequences(), "conditions": np.eye(BATCH, 3)}
    model.fit(data, verbose=0)
    assert model.generate(4, conditions=np.eye(2, 3)).shape == (2, 4, FEATURES)
    assert model.encode(data).shape == (BATCH, TIME, LATENT)
    with pytest.raises(ValueError, match=r"Received: \['condition'"):
        model({"sequences": make_sequences(), "condition": np.eye(BATCH, 3)})


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


def test_log_likelihood_rises_with_samples():
    model = make_model()
    sequences = make_sequences(12)
    model(sequences)
    elbo = np.mean(
        [
            model.log_likelihood(sequences, num_samples=1).mean()
            for _ in range(20)
        ]
    )
    value, error = model.log_likelihood(
        sequences, num_samples=20, return_error=True
    )
    assert value.mean() > elbo
    assert (error > 0).all()


def test_nan_is_reported_with_its_batch():
    model = make_model()
    model.compile("sgd")
    sequences = make_sequences(8)
    sequences[5] = np.nan
    with pytest.raises(ValueError, match="batch 2 .* of epoch 1 is not finite"):
        model.fit(sequences, batch_size=2, shuffle=False, verbose=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kl_weight": "high"}, "a weight to be a finite number"),
        ({"free_bits": 0.5}, "`free_bits` to be a `FreeBits`"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_model(**arguments)


def test_a_posterior_without_a_backward_network():
    rnn = StochasticRNN(UNITS, LATENT, posterior="target")
    with pytest.raises(ValueError, match="`backward_weight` is of the backw"):
        ZForcing(rnn, GaussianHead(FEATURES), backward_weight=1.0)
    model = ZForcing(rnn, GaussianHead(FEATURES))
    assert model(make_sequences())["kl"].shape == (BATCH, TIME, LATENT)


def test_targets_that_do_not_fit_the_head():
    model = ZForcing(StochasticRNN(UNITS, LATENT), GaussianHead(3))
    with pytest.raises(ValueError, match=r"targets of shape \(6, 5, 3\)"):
        model(make_sequences())
