import numpy as np
import pytest

from keras_seqcredit import datasets


@pytest.mark.parametrize(
    "length, num_symbols, vocabulary", [(1, 1, 1), (5, 5, 4), (100, 10, 8)]
)
def test_symbols_are_recalled_in_the_order_in_which_they_came(
    length, num_symbols, vocabulary
):
    x, y = datasets.selective_copying(
        20, length, num_symbols, vocabulary, seed=0
    )
    assert x.shape == y.shape == (20, length + 1 + num_symbols)
    assert x.dtype == y.dtype == np.int32
    assert x[:, :length].max() <= vocabulary
    assert (x[:, length] == vocabulary + 1).all()
    assert not x[:, length + 1 :].any()
    assert not y[:, : length + 1].any()
    for row in range(20):
        symbols = [symbol for symbol in x[row, :length] if symbol]
        assert y[row, length + 1 :].tolist() == symbols


def test_symbols_may_be_anywhere_and_any():
    x, _ = datasets.selective_copying(8000, 8, 2, 4, seed=0)
    # Of 8 steps, 2 have one of 4 symbols.
    for symbol in range(1, 5):
        share = (x[:, :8] == symbol).mean(axis=0)
        np.testing.assert_allclose(share, 1 / 16, atol=0.01)


def test_one_hot_encodes_the_same_sequences():
    x, y = datasets.selective_copying(6, length=18, seed=1)
    x_one_hot, y_one_hot = datasets.selective_copying(
        6, length=18, one_hot=True, seed=1
    )
    assert (x_one_hot.shape, x_one_hot.dtype) == ((6, 29, 10), np.float32)
    assert (x_one_hot.sum(axis=-1) == 1).all()
    np.testing.assert_array_equal(x_one_hot.argmax(axis=-1), x)
    np.testing.assert_array_equal(y_one_hot, y)


def test_seed_decides_the_data():
    x = datasets.selective_copying(8, seed=3)[0]
    np.testing.assert_array_equal(x, datasets.selective_copying(8, seed=3)[0])
    assert not np.array_equal(x, datasets.selective_copying(8, seed=4)[0])
    assert not np.array_equal(x, datasets.selective_copying(8)[0])


@pytest.mark.parametrize(
    "name, value",
    [
        ("length", 0),
        ("length", 9),
        ("length", (20, 30)),
        ("num_symbols", -1),
        ("vocabulary", "8"),
        ("seed", 0.5),
    ],
)
@pytest.mark.parametrize(
    "function", [datasets.selective_copying, datasets.selective_copying_stream]
)
def test_wrong_arguments(function, name, value):
    with pytest.raises(
        ValueError, match=f"Expected `{name}` .* Received: {name}="
    ):
        function(4, **{name: value})
