"""Data as people have them are read, or refused with what to call."""

import keras
import numpy as np
import pytest

from keras_seqcredit import layers
from keras_seqcredit import models
from tests.on_one_backend import only_on

TOKENS = np.random.default_rng(0).integers(0, 5, (6, 7))
UNEQUAL = [[1, 2, 3], [1, 2], [3, 4, 1, 2]]


def generator():
    return models.AutoregressiveRNN(
        keras.layers.GRUCell(4),
        layers.CategoricalHead(5),
        embedding=keras.layers.Embedding(5, 3),
    )


def z_forcing():
    return models.ZForcing(
        layers.StochasticRNN(4, latent_dim=2, return_sequences=True),
        layers.CategoricalHead(5),
        embedding=keras.layers.Embedding(5, 3),
    )


def professor():
    return models.ProfessorForcing(generator())


class Batches(keras.utils.PyDataset):
    """One batch."""

    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return (self.batch,)


def ragged():
    tf = pytest.importorskip("tensorflow")
    return tf.ragged.constant(UNEQUAL)


def ragged_data():
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(ragged()).batch(3)


def text_data():
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices([["a", "b"]]).batch(1)


OBJECTS = np.empty(2, dtype=object)
OBJECTS[:] = [np.array([1, 2, 3]), np.array([1, 2])]
WRONG = {
    "lists": (lambda: UNEQUAL, "pad_sequences.*Received: lengths .2, 3, 4."),
    "dictionary": (
        lambda: {"sequences": UNEQUAL},
        "pad_sequences.*Received: lengths",
    ),
    "objects": (lambda: OBJECTS, "pad_sequences.*Received: an array of"),
    "ragged": (ragged, "to_tensor.*Received: a Ragged"),
    "ragged_data": (ragged_data, "to_tensor.*Received: a Ragged"),
    "text": (
        lambda: np.array([["a", "b"], ["b", "c"]]),
        "StringLookup.*Received: dtype=<U1",
    ),
    "text_data": (text_data, "StringLookup.*Received: dtype="),
    "one_hot": (
        lambda: np.eye(5, dtype="float32")[TOKENS],
        r"argmax.*Received: shape=\(6, 7, 5\)",
    ),
    "fractions": (lambda: TOKENS + 0.5, r"whole numbers.*Received: .*\.5"),
    "too_large": (lambda: TOKENS + 3, "from 0 to 4.*Received: .* 3 to 7"),
    "negative": (lambda: TOKENS - 1, "from 0 to 4.*Received: .* -1 to 3"),
    "batches": (lambda: Batches(TOKENS + 3), "first batch.*Received"),
}


@pytest.mark.parametrize("make", [generator, z_forcing, professor])
@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_read_says_what_to_call(make, name):
    data, message = WRONG[name]
    model = make()
    compiled = ("adam", "adam") if make is professor else ("adam",)
    model.compile(*compiled)
    with pytest.raises(ValueError, match=f"(?s)Expected `x.*{message}"):
        model.fit(data(), batch_size=3, verbose=0)
    assert not model.built  # Before anything is compiled.


@only_on("jax")
@pytest.mark.parametrize(
    "data",
    [TOKENS, TOKENS.astype("float32"), TOKENS.tolist(), Batches(TOKENS)],
    ids=["integers", "floats", "lists", "batches"],
)
def test_tokens_of_any_type_are_the_same(data):
    losses = []
    for x in (TOKENS, data):
        keras.utils.set_random_seed(0)
        model = generator()
        model.compile("adam")
        history = model.fit(x, batch_size=6, shuffle=False, verbose=0)
        losses.append(history.history["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_other_data_are_checked_as_those_to_train_on():
    model = generator()
    model.compile("adam")
    with pytest.raises(
        ValueError, match="Expected `validation_data` .*lengths"
    ):
        model.fit(TOKENS, validation_data=(UNEQUAL,), verbose=0)
    model.build((None, 7))
    with pytest.raises(ValueError, match="from 0 to 4"):
        model.log_likelihood(TOKENS + 3)
    with pytest.raises(ValueError, match="from 0 to 4"):
        model.evaluate(TOKENS - 1, verbose=0)
