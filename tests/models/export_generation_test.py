"""Generation runs where this package is not installed."""

import keras
import numpy as np
import pytest

from keras_seqcredit import backend
from keras_seqcredit import layers
from keras_seqcredit import models
from tests.served import run_without_package

ON_JAX = keras.backend.backend() == "jax"
SEED = 7
BATCH, STEPS, CLASSES, FEATURES = 2, 3, 5, 2
LENGTH, NUM_SAMPLES = 6, 2

RANDOM = np.random.default_rng(0)
WORDS = RANDOM.integers(0, CLASSES, (BATCH, STEPS)).astype("int32")
FRAMES = RANDOM.normal(size=(BATCH, STEPS, FEATURES)).astype("float32")
CONDITIONS = RANDOM.normal(size=(BATCH, 3)).astype("float32")

SERVE = """
for path in folder.glob("*.exported"):
    served = tf.saved_model.load(path)
    given = {k: tf.constant(x) for k, x in np.load(f"{path}.npz").items()}
    drawn = [served.generate(tf.constant(n), **given) for n in (7, 7, 8)]
    np.savez(folder / f"{path.stem}.npz", *drawn)
"""


def text():
    """Classes after a prompt, by a generator that has a judge."""
    # TensorFlow 2.21 cannot run the top_k that JAX 0.10 exports.
    core = keras.layers.GRUCell(4) if ON_JAX else layers.SABLSTM(4, k_top=2)
    top_k = {} if ON_JAX else {"top_k": 4}
    generator = models.AutoregressiveRNN(
        core,
        layers.CategoricalHead(CLASSES),
        embedding=keras.layers.Embedding(CLASSES, 4),
        condition_network=keras.layers.Dense(2),
    )
    model = models.ProfessorForcing(generator, layers.BehaviorDiscriminator(3))
    model.build({"sequences": (None, STEPS), "conditions": (None, 3)})
    given = {"prompt": WORDS, "conditions": CONDITIONS}
    # The end is in the prompt, too, where it ends nothing.
    stop = int(WORDS[0, 0])
    return model, given, {"temperature": 0.8, "stop": stop, **top_k}


def latents():
    model = models.ZForcing(
        layers.StochasticRNN(4, latent_dim=2), layers.GaussianHead(FEATURES)
    )
    model.build({"sequences": (None, STEPS, FEATURES), "conditions": (None, 3)})
    return model, {"prompt": FRAMES, "conditions": CONDITIONS}, {}


def chain():
    """Images of integers."""
    network = models.transition_mlp(FEATURES, units=(4,))
    model = models.VariationalWalkback(
        layers.GaussianTransition(network), num_steps=3, dequantize=True
    )
    model.build((None, FEATURES))
    return model, {}, {"extra_steps": 2, "repeats": 2, "denoise": True}


def test_generates_in_a_new_process(tmp_path, monkeypatch):
    systems = {make.__name__: make() for make in (text, latents, chain)}
    for name, (model, given, arguments) in systems.items():
        path = tmp_path / f"{name}.exported"
        models.export_generation(
            model,
            path,
            **{key: spec(x) for key, x in given.items()},
            **with_sizes(model, arguments),
        )
        np.savez(f"{path}.npz", **given)
    run_without_package(SERVE, tmp_path)

    found = {
        name: [*np.load(tmp_path / f"{name}.npz").values()] for name in systems
    }
    if not ON_JAX:
        # XLA on TensorFlow draws other random numbers from the same seed.
        monkeypatch.setattr(backend, "jit", lambda function, *unused: function)
    for name, (model, given, arguments) in systems.items():
        first, again, other = found[name]
        expected = drawn(model, given, arguments)
        assert first.dtype == expected.dtype
        np.testing.assert_allclose(
            first, expected, rtol=1e-4, atol=1e-5, err_msg=name
        )
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()


def spec(x):
    """Of the shape of an array; where the backend allows, of any batch."""
    shape = x.shape if ON_JAX else (None, *x.shape[1:])
    if x is WORDS and not ON_JAX:
        shape = (None, None)
    return keras.InputSpec(shape=shape, dtype=x.dtype.name)


def with_sizes(model, arguments):
    sizes = {"num_samples": NUM_SAMPLES}
    if not isinstance(model, models.VariationalWalkback):
        sizes["length"] = LENGTH
    return {**sizes, **arguments}


def drawn(model, given, arguments):
    """What the model draws itself."""
    if isinstance(model, models.ZForcing):
        # Of the prompt it draws latents from its own seed.
        model.stochastic_rnn.seed_generator.state.assign([SEED, 2])
    draw = getattr(model, "sample", None) or model.generate
    return draw(**with_sizes(model, arguments), **given, seed=SEED)


def unbuilt():
    return models.AutoregressiveRNN(
        keras.layers.GRUCell(4), layers.GaussianHead(FEATURES)
    )


def frames():
    model = unbuilt()
    model.build((None, STEPS, FEATURES))
    return model


WIDE = keras.InputSpec(shape=(2, 9), dtype="float32")


def spec_of(*shape, dtype="float32"):
    return {"prompt": keras.InputSpec(shape=shape, dtype=dtype), "length": 4}


@pytest.mark.parametrize(
    ("create", "arguments", "expected"),
    [
        (unbuilt, {"length": 4}, "has not seen data"),
        (keras.Sequential, {"length": 4}, "that generates"),
        (frames, {}, "length=None"),
        (frames, {"length": 0}, "length=0"),
        (frames, {"length": 4, "num_samples": 0}, "num_samples=0"),
        (frames, {"length": 4, "temperature": 0}, "temperature=0"),
        (frames, {"length": 4, "top_k": 2}, "CategoricalHead"),
        (frames, {"length": 4, "prompt": FRAMES}, "keras.InputSpec"),
        (frames, {"length": 4, "conditions": spec(CONDITIONS)}, "without"),
        (lambda: text()[0], {"length": 4}, "conditions of 2 features"),
        (lambda: text()[0], {"length": 4, "stop": CLASSES}, "to be a class"),
        (frames, spec_of(2, 5, FEATURES), "1 to 4 steps"),
        (frames, spec_of(2, 3, FEATURES + 1), "steps, 2"),
        (frames, spec_of(2, 3), "steps, 2"),
        (frames, {"length": 4, "extra_steps": 1}, "extra_steps"),
        (
            lambda: latents()[0],
            {**spec_of(2, None, FEATURES), "conditions": spec(CONDITIONS)},
            "known",
        ),
        (lambda: latents()[0], {"length": 4, "stop": 1}, "stop"),
        (
            lambda: latents()[0],
            {"length": 4, "conditions": WIDE},
            "shape=(2, 9)",
        ),
        (lambda: chain()[0], {"length": 4}, "length"),
        (lambda: chain()[0], {"extra_steps": -1}, "extra_steps=-1"),
        (lambda: chain()[0], {"prompt": keras.InputSpec(shape=(2,))}, "prior"),
        (frames, {"length": 4, "path": "model.keras"}, "model.keras"),
        (frames, {"length": 4, "path": __file__}, "folder"),
    ],
)
def test_wrong_arguments(create, arguments, expected, tmp_path):
    model = create()
    arguments = {"path": tmp_path / "served", **arguments}
    with pytest.raises(ValueError, match="Expected") as error:
        models.export_generation(model, **arguments)
    assert expected in str(error.value) and "Received" in str(error.value)


@pytest.mark.skipif(not ON_JAX, reason="TensorFlow takes open shapes")
def test_open_shapes_on_jax(tmp_path):
    with pytest.raises(ValueError, match="known shapes.*Received: shape="):
        models.export_generation(
            frames(), tmp_path / "served", **spec_of(None, 3, FEATURES)
        )
