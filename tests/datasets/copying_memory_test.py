import re

import numpy as np
import pytest

from keras_seqcredit import datasets


@pytest.mark.parametrize(
    "length, num_symbols, vocabulary", [(1, 1, 1), (5, 3, 4), (100, 10, 8)]
)
def test_sequence_has_symbols_then_blanks_then_a_marker(
    length, num_symbols, vocabulary
):
    x, y = datasets.copying_memory(20, length, num_symbols, vocabulary, seed=0)
    assert x.shape == y.shape == (20, length + 2 * num_symbols)
    assert x.dtype == y.dtype == np.int32
    symbols = x[:, :num_symbols]
    assert symbols.min() >= 1 and symbols.max() <= vocabulary
    marker = num_symbols + length - 1
    assert (x[:, marker] == vocabulary + 1).all()
    assert not np.delete(x, marker, axis=1)[:, num_symbols:].any()
    np.testing.assert_array_equal(y[:, -num_symbols:], symbols)
    assert not y[:, :-num_symbols].any()


def test_one_hot_encodes_the_same_sequences():
    x, y = datasets.copying_memory(6, length=9, seed=1)
    x_one_hot, y_one_hot = datasets.copying_memory(
        6, length=9, one_hot=True, seed=1
    )
    assert (x_one_hot.shape, x_one_hot.dtype) == ((6, 29, 10), np.float32)
    assert (x_one_hot.sum(axis=-1) == 1).all()
    np.testing.assert_array_equal(x_one_hot.argmax(axis=-1), x)
    np.testing.assert_array_equal(y_one_hot, y)


def test_seed_decides_the_data():
    x = datasets.copying_memory(8, seed=3)[0]
    np.testing.assert_array_equal(x, datasets.copying_memory(8, seed=3)[0])
    assert not np.array_equal(x, datasets.copying_memory(8, seed=4)[0])
    assert not np.array_equal(x, datasets.copying_memory(8)[0])


@pytest.mark.parametrize(
    "name, value",
    [("length", 0), ("num_symbols", -1), ("vocabulary", "8"), ("seed", 0.5)],
)
@pytest.mark.parametrize(
    "function", [datasets.copying_memory, datasets.copying_memory_stream]
)
def test_wrong_arguments(function, name, value):
    with pytest.raises(
        ValueError, match=f"Expected `{name}` .* Received: {name}="
    ):
        function(4, **{name: value})


def test_each_sequence_draws_its_length():
    x, y, weights = datasets.copying_memory(200, (3, 9), 2, 4, seed=0)
    assert x.shape == y.shape == weights.shape == (200, 13)
    assert weights.dtype == "float32"
    marker = np.argmax(x == 5, axis=1)
    assert set(marker) == set(range(4, 11))
    for row in range(200):
        length = marker[row] - 1
        expected = np.zeros(13, int)
        expected[:2], expected[marker[row]] = x[row, :2], 5
        np.testing.assert_array_equal(x[row], expected)
        np.testing.assert_array_equal(
            y[row, length + 2 : length + 4], x[row, :2]
        )
        assert (y[row] > 0).sum() == 2
        np.testing.assert_array_equal(weights[row], np.arange(13) < length + 4)


def test_stream_of_many_lengths():
    stream = datasets.copying_memory_stream(
        4, (2, 5), one_hot=True, batches_per_epoch=2, seed=1
    )
    x, y, weights = stream[0]
    assert x.shape == (4, 25, 10) and y.shape == weights.shape == (4, 25)
    np.testing.assert_array_equal(weights, stream[0][2])


def test_one_length_is_drawn_as_if_there_were_no_others():
    symbols = np.random.default_rng(2).integers(1, 9, (8, 10))
    x, y = datasets.copying_memory(8, 20, seed=2)
    np.testing.assert_array_equal(x[:, :10], symbols)
    x_pair, y_pair, weights = datasets.copying_memory(8, (20, 20), seed=2)
    np.testing.assert_array_equal(x, x_pair)
    np.testing.assert_array_equal(y, y_pair)
    assert (weights == 1).all()


@pytest.mark.parametrize(
    "length", [(5,), (5, 4), (0, 4), (1, 2, 3), (1, "a"), [True, 3], ()]
)
@pytest.mark.parametrize(
    "function", [datasets.copying_memory, datasets.copying_memory_stream]
)
def test_wrong_pair_of_lengths(function, length):
    with pytest.raises(
        ValueError,
        match=r"Expected `length` .*\(shortest, longest\).* Received: length="
        + re.escape(repr(length)),
    ):
        function(1, length)


def test_short_lengths_are_as_frequent_as_long_ones():
    x, _, _ = datasets.copying_memory(4000, (1, 99), 2, 4, seed=0)
    lengths = np.argmax(x == 5, axis=1) - 1
    assert lengths.min() == 1 and lengths.max() == 99
    assert np.mean(lengths < 10) == pytest.approx(0.5, abs=0.03)
