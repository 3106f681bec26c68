import sys

import numpy as np
import pytest

from keras_seqcredit import datasets


def test_shapes_and_values():
    (x_train, y_train), (x_test, y_test) = datasets.sequential_digits()
    assert x_train.shape == (1437, 64, 1)
    assert x_test.shape == (360, 64, 1)
    assert x_train.dtype == x_test.dtype == np.float32
    assert (x_train.min(), x_train.max()) == (0, 1)
    assert y_train.shape == (1437,)
    assert y_test.shape == (360,)
    assert y_train.dtype == y_test.dtype == np.int32
    assert set(y_train) == set(y_test) == set(range(10))


def test_split_is_a_partition_that_the_seed_decides():
    (x_train, _), (x_test, _) = datasets.sequential_digits(seed=0)
    (_, _), (x_again, _) = datasets.sequential_digits(seed=0)
    (x_other, _), (x_other_test, _) = datasets.sequential_digits(seed=1)
    np.testing.assert_array_equal(x_test, x_again)
    assert not np.array_equal(x_test, x_other_test)

    def images(*parts):
        return sorted(x.tobytes() for part in parts for x in part)

    assert images(x_train, x_test) == images(x_other, x_other_test)


@pytest.mark.parametrize("permute", [True, 0, 7])
def test_permutation_is_a_bijection_shared_by_train_and_test(permute):
    plain = datasets.sequential_digits()
    permuted = datasets.sequential_digits(permute=permute)
    order = np.random.default_rng(int(permute is not True and permute))
    order = order.permutation(64)
    assert not np.array_equal(order, np.arange(64))
    for (x, y), (x_permuted, y_permuted) in zip(plain, permuted, strict=True):
        np.testing.assert_array_equal(x[:, order], x_permuted)
        np.testing.assert_array_equal(y, y_permuted)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"permute": -1}, "`permute` to be a non-negative integer"),
        ({"permute": "yes"}, "Received: permute='yes'"),
        ({"test_fraction": 1}, "Received: test_fraction=1"),
        ({"test_fraction": "half"}, "Received: test_fraction='half'"),
        ({"seed": None}, "Received: seed=None"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        datasets.sequential_digits(**arguments)


def test_missing_scikit_learn_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"keras-seqcredit\[examples\]"):
        datasets.sequential_digits()
