"""What a loop over time would lose is refused, by name, at any depth."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit.layers import BernoulliHead
from keras_seqcredit.layers import ConditionedLSTMCell
from keras_seqcredit.layers import SparseAttentiveRNN
from keras_seqcredit.layers import StochasticRNN
from keras_seqcredit.models import AutoregressiveRNN
from keras_seqcredit.models.sequences import Sequences

BATCH, TIME, FEATURES, UNITS = 3, 6, 2, 4


def make_inputs(time=TIME):
    random = np.random.default_rng(0)
    return random.normal(size=(BATCH, time, FEATURES)).astype("float32")


class CellOf(keras.layers.Layer):
    """A cell of Keras, then any layers, of which it may not know enough."""

    def __init__(self, *more, cell=None, **kwargs):
        super().__init__(**kwargs)
        self.cell = cell or keras.layers.GRUCell(UNITS)
        self.more = list(more)
        self.state_size = self.cell.state_size

    def get_config(self):
        layers = [self.cell, *self.more]
        return {"layers": keras.saving.serialize_keras_object(layers)}

    @classmethod
    def from_config(cls, config):
        cell, *more = keras.saving.deserialize_keras_object(config["layers"])
        return cls(*more, cell=cell)

    def build(self, inputs_shape):
        self.cell.build(inputs_shape)
        for layer in self.more:
            layer.build((None, UNITS))

    def call(self, inputs, states, training=False):
        _, (state, *rest) = self.cell(inputs, states, training=training)
        for layer in self.more:
            state = layer(state)
        return state, [state, *rest]


class Counting(CellOf):
    def build(self, inputs_shape):
        super().build(inputs_shape)
        self.steps = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="steps"
        )

    def call(self, inputs, states, training=False):
        self.steps.assign_add(1.0)
        return super().call(inputs, states, training)


class Adding(CellOf):
    def call(self, inputs, states, training=False):
        output, states = super().call(inputs, states, training)
        self.add_loss(ops.mean(output**2))
        return output, states


class Measuring(CellOf):
    def __init__(self, *more, **kwargs):
        super().__init__(*more, **kwargs)
        self.size = keras.metrics.Mean(name="size")

    def call(self, inputs, states, training=False):
        output, states = super().call(inputs, states, training)
        self.size.update_state(output)
        return output, states


def nested(layer):
    dense = keras.layers.Dense(UNITS)
    return CellOf(keras.Sequential([dense, layer], name="inside"))


REFUSED = {
    "dropout": (
        lambda: CellOf(keras.layers.Dropout(0.5, name="half")),
        r"draws random numbers in its layer '.*half'",
    ),
    "noise": (
        lambda: CellOf(keras.layers.GaussianNoise(1.0, name="noise")),
        r"draws random numbers in its layer '.*noise'",
    ),
    "dropout_inside": (
        lambda: nested(keras.layers.Dropout(0.5, name="half")),
        r"draws random numbers in its layer '.*half'",
    ),
    "dropout_of_a_cell_inside": (
        lambda: CellOf(cell=keras.layers.GRUCell(UNITS, dropout=0.5, name="g")),
        r"draws random numbers in its layer '.*g'",
    ),
    "dropout_in_a_list": (
        lambda: keras.layers.StackedRNNCells(
            [
                keras.layers.LSTMCell(UNITS),
                CellOf(keras.layers.Dropout(0.5, name="half")),
            ]
        ),
        r"draws random numbers in its layer '.*half'",
    ),
    "batch_normalization": (
        lambda: CellOf(keras.layers.BatchNormalization(name="batch")),
        r"assigns 'moving_mean' in its layer '.*batch'",
    ),
    "counter": (lambda: Counting(), r"assigns 'steps'"),
    "metric": (lambda: Measuring(), r"assigns 'total'"),
    "loss": (lambda: Adding(), r"adds losses"),
    "activity_regularizer": (
        lambda: keras.layers.LSTMCell(UNITS, activity_regularizer="l2"),
        r"adds losses",
    ),
}
every_refused = pytest.mark.parametrize("name", REFUSED)


@every_refused
@pytest.mark.parametrize("k_top", [0, 2])
def test_attentive(name, k_top):
    make, message = REFUSED[name]
    layer = SparseAttentiveRNN(make(), k_top=k_top)
    for inputs in (keras.Input((None, FEATURES)), make_inputs()):
        with pytest.raises(ValueError, match="Expected a cell that") as error:
            layer(inputs)
        error.match(message)


@every_refused
def test_stochastic(name):
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match="Expected a cell that") as error:
        StochasticRNN(UNITS, 2, cell=make())(make_inputs())
    error.match(message)


@pytest.mark.parametrize("core", [CellOf, Counting, Adding])
@pytest.mark.parametrize("probability", [0.0, 0.5])
def test_generator(core, probability):
    model = AutoregressiveRNN(
        core(keras.layers.Dropout(0.5, name="half")),
        BernoulliHead(FEATURES),
        sampling_probability=probability,
    )
    with pytest.raises(ValueError, match="Expected a cell that") as error:
        model(make_inputs())
    error.match("draws random numbers in its layer 'half'")


@pytest.mark.parametrize("name", ["prior_network", "posterior_network"])
@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: keras.layers.Dropout(0.5, name="half"), "draws .*half'"),
        (lambda: keras.layers.BatchNormalization(), "assigns 'moving_mean'"),
        (
            lambda: keras.layers.Dense(3, activity_regularizer="l2"),
            "adds losses",
        ),
    ],
)
def test_networks(name, layer, message):
    network = keras.Sequential([layer(), keras.layers.Dense(4)])
    stochastic = StochasticRNN(UNITS, 2, **{name: network})
    with pytest.raises(ValueError, match=f"`{name}` runs") as error:
        stochastic(make_inputs())
    error.match(message)


def frozen_normalization():
    layer = keras.layers.BatchNormalization()
    layer.trainable = False
    return layer


ALLOWED = {
    "frozen": lambda: CellOf(frozen_normalization()),
    "no_rate": lambda: CellOf(keras.layers.Dropout(0.0)),
    "plain": lambda: CellOf(keras.layers.LayerNormalization()),
    "dropout": lambda: keras.layers.LSTMCell(
        UNITS, dropout=0.5, recurrent_dropout=0.5
    ),
    "list": lambda: keras.layers.StackedRNNCells(
        [
            keras.layers.GRUCell(3, dropout=0.5),
            keras.layers.LSTMCell(UNITS, recurrent_dropout=0.5),
        ]
    ),
    "conditioned": lambda: ConditionedLSTMCell(UNITS, 1),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_allowed(name):
    layer = SparseAttentiveRNN(ALLOWED[name](), k_top=2)
    inputs = make_inputs()
    seeds = [
        ops.convert_to_numpy(v) for v in layer.variables if "seed" in v.path
    ]
    layer.build(inputs.shape)
    # To look into a cell draws nothing, and leaves nothing behind.
    for seed, variable in zip(
        seeds, [v for v in layer.variables if "seed" in v.path], strict=True
    ):
        np.testing.assert_array_equal(seed, variable)
    for cell in layer._flatten_layers():
        assert getattr(cell, "_dropout_mask", None) is None
    assert np.isfinite(layer(inputs, training=True)).all()
    assert not layer.losses


class InTraining(keras.layers.Layer):
    """Calls a function as a part of a model in training."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, inputs, training=False):
        return self.function(inputs)


def make_generator(embedding=None):
    model = AutoregressiveRNN(
        keras.layers.GRUCell(UNITS),
        BernoulliHead(FEATURES),
        embedding=embedding,
        sampling_probability=1.0,
        seed=1,
    )
    model.build((BATCH, TIME, FEATURES))
    return model


@pytest.mark.parametrize(
    "embedding",
    [
        lambda: keras.layers.Dropout(0.5),
        lambda: keras.layers.GaussianNoise(1.0),
    ],
    ids=["dropout", "noise"],
)
def test_embeddings_of_a_generator(embedding):
    """Samples that it reads in training are those of its use.

    The noise was the same at each step on JAX, and another one where the
    gradient was taken.
    """
    noisy, plain = make_generator(embedding()), make_generator()
    for a, b in zip(noisy.weights, plain.weights, strict=True):
        a.assign(b)
    inputs = (make_inputs() > 0).astype("float32")

    def draw(net):
        return InTraining(lambda x: net.sample(Sequences(x)).values)

    found, expected = (
        np.asarray(draw(model.net)(inputs, training=True))
        for model in (noisy, plain)
    )
    assert 0.2 < expected.mean() < 0.8
    np.testing.assert_array_equal(found, expected)
    # Noise of training is in what the core is trained on, at each step.
    embedded = InTraining(
        lambda x: Sequences(x).embedded(noisy.embedding, "float32")[0]
    )
    frames = np.asarray(embedded(np.ones_like(inputs), training=True))
    assert len(np.unique(frames, axis=1)[0]) > 1
    # Its steps are not those that the free run took.
    with_gates = []
    noisy.core.repeated = lambda *_: with_gates.append(1)
    noisy(inputs, training=True)
    assert not with_gates
