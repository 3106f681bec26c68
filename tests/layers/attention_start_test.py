"""What an untrained layer reads: different queries read different slots.

Only states that are read get a gradient. Where all queries of an untrained
layer read the same slots, nothing tells it that others would be better.
"""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit.layers import SABGRU
from keras_seqcredit.layers import SABLSTM
from keras_seqcredit.recurrence.attention import attend

BATCH, TIME, FEATURES, UNITS, K_TOP = 8, 40, 8, 32, 5


def shared_slots(kind, attention, **arguments):
    """How much of what two queries read of one memory is the same, 0 to 1."""
    keras.utils.set_random_seed(0)
    layer = kind(UNITS, k_top=K_TOP, attention=attention, **arguments)
    random = np.random.default_rng(0)
    x = random.normal(size=(BATCH, TIME, FEATURES)).astype("float32")
    layer.build(x.shape)
    states = keras.layers.RNN(layer.cell, return_sequences=True)(x)
    score, prepared = layer._score.score, layer._score.prepared()
    read = []
    for t in range(0, TIME, 4):
        _, weights, slots = attend(
            score,
            prepared,
            K_TOP,
            states[:, t],
            states,
            score.cache(prepared, states),
            ops.ones((BATCH, TIME), "bool"),
        )
        weights, slots = map(ops.convert_to_numpy, (weights, slots))
        read.append(
            [set(s[w > 0]) for s, w in zip(slots, weights, strict=True)]
        )
    return np.mean(
        [
            len(a & b) / len(a | b)
            for one, other in itertools.combinations(read, 2)
            for a, b in zip(one, other, strict=True)
        ]
    )


@pytest.mark.parametrize("kind", [SABLSTM, SABGRU])
def test_queries_read_different_slots(kind):
    assert shared_slots(kind, "dot") < 0.25
    assert shared_slots(kind, "additive") < 0.8
    # Its query's share is the same for all slots.
    assert shared_slots(kind, "concat") == 1


def test_the_additive_score_starts_outside_its_linear_range():
    """Where tanh is linear, the query's share is the same for all slots."""
    narrow = shared_slots(
        SABLSTM, "additive", attention_initializer="glorot_uniform"
    )
    assert narrow > 0.95
    assert 0.8 > shared_slots(SABLSTM, "additive")
    # The ranking of products does not depend on their scale.
    wide = keras.initializers.VarianceScaling(36.0, "fan_avg", "uniform")
    for initializer in ("glorot_uniform", wide):
        found = shared_slots(SABLSTM, "dot", attention_initializer=initializer)
        assert found < 0.25
