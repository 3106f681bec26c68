"""Credit reaches an early event through the memory, and in no other way."""

import numpy as np
import pytest
from keras import ops

from keras_seqcredit.layers import SABGRU
from keras_seqcredit.layers import SABLSTM
from tests.gradients import value_and_gradients

TIME, K_TRUNC = 20, 2


def gradient_of_last_output(layer):
    random = np.random.default_rng(0)
    inputs = random.normal(size=(2, TIME, 3)).astype("float32")
    layer.build(inputs.shape)
    _, (gradient,) = value_and_gradients(
        lambda arrays: ops.sum(ops.sin(layer(arrays[0]))), [inputs], "jit"
    )
    return np.abs(gradient).max(axis=(0, 2))


@pytest.mark.parametrize("kind", [SABLSTM, SABGRU])
def test_memory_carries_credit_from_hop_to_hop(kind):
    paper = {"memory_content": "state", "read_into": "state"}
    size = gradient_of_last_output(
        kind(4, k_top=3, k_trunc=K_TRUNC, attention="additive", **paper)
    )
    assert size[0] > 1e-6


@pytest.mark.parametrize("kind", [SABLSTM, SABGRU])
def test_credit_goes_one_hop_where_reads_go_to_the_output(kind):
    k_top = 3
    layer = kind(4, k_top=k_top, k_trunc=K_TRUNC)
    size = gradient_of_last_output(layer)
    reader = kind.from_config({**layer.get_config(), "return_attention": True})
    random = np.random.default_rng(0)
    inputs = random.normal(size=(2, TIME, 3)).astype("float32")
    reader.build(inputs.shape)
    reader.set_weights(layer.get_weights())
    _, slots, _ = map(ops.convert_to_numpy, reader(inputs))
    read = {int(slot) - 1 for slot in slots[:, -1].ravel() if slot > 0}
    assert any(step < TIME - 2 * K_TRUNC for step in read)
    assert all(size[step] > 1e-6 for step in read)
    # Of each row: what was read, the threshold, the last segment.
    assert (size > 0).sum() <= 2 * (k_top + 2) * K_TRUNC
    assert (size == 0).any()


@pytest.mark.parametrize("kind", [SABLSTM, SABGRU])
def test_without_memory_the_cut_is_a_cut(kind):
    size = gradient_of_last_output(kind(4, k_top=0, k_trunc=K_TRUNC))
    assert (size[:-K_TRUNC] == 0).all()
    assert (size[-K_TRUNC:] > 1e-3).all()


def test_without_a_cut_credit_flows_through_the_cell():
    size = gradient_of_last_output(SABLSTM(4, k_top=0))
    assert (size > 0).all()
