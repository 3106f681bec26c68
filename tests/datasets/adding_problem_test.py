import numpy as np
import pytest

from keras_seqcredit import datasets


@pytest.mark.parametrize("length", [2, 7, 50])
def test_target_is_the_sum_of_one_mark_in_each_half(length):
    x, y = datasets.adding_problem(40, length=length, seed=0)
    assert (x.shape, x.dtype) == ((40, length, 2), np.float32)
    assert (y.shape, y.dtype) == ((40, 1), np.float32)
    numbers, marks = x[..., 0], x[..., 1]
    assert numbers.min() >= 0 and numbers.max() < 1
    assert np.isin(marks, (0, 1)).all()
    assert (marks[:, : length // 2].sum(axis=1) == 1).all()
    assert (marks[:, length // 2 :].sum(axis=1) == 1).all()
    np.testing.assert_allclose(y[:, 0], (numbers * marks).sum(axis=1))


def test_constant_answer_has_the_documented_error():
    _, y = datasets.adding_problem(20000, length=10, seed=0)
    assert np.mean((y - 1) ** 2) == pytest.approx(1 / 6, abs=0.005)


def test_each_sequence_has_its_own_length():
    x, y = datasets.adding_problem(400, length=(4, 30), seed=0)
    assert x.shape == (400, 30, 2)
    numbers, marks = x[..., 0], x[..., 1]
    np.testing.assert_allclose(y[:, 0], (numbers * marks).sum(axis=1))
    starts = np.argmax(numbers > 0, axis=1)
    assert starts.min() == 0 and starts.max() == 26
    # As many below 11 as above: logarithms are drawn uniformly.
    assert np.mean(30 - starts < 11) == pytest.approx(0.5, abs=0.07)
    for row, start in zip(marks, starts, strict=True):
        half = start + (30 - start) // 2
        assert row[:half].sum() == row[start:half].sum() == 1
        assert row[half:].sum() == 1
    same = datasets.adding_problem(8, length=(30, 30), seed=0)[0]
    assert same[:, :, 0].all()


@pytest.mark.parametrize("length", [(1, 9), (5, 4), (2, 3, 4), (2, None)])
@pytest.mark.parametrize(
    "function", [datasets.adding_problem, datasets.adding_problem_stream]
)
def test_wrong_pair_of_lengths(function, length):
    with pytest.raises(
        ValueError,
        match=r"an integer >= 2 or .*\(shortest, longest\).* Received: length=",
    ):
        function(8, length)


def test_seed_decides_the_data():
    x, y = datasets.adding_problem(8, seed=3)
    x_again, y_again = datasets.adding_problem(8, seed=3)
    np.testing.assert_array_equal(x, x_again)
    np.testing.assert_array_equal(y, y_again)
    assert not np.array_equal(x, datasets.adding_problem(8, seed=4)[0])
    assert not np.array_equal(x, datasets.adding_problem(8)[0])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_samples": 0}, "`num_samples` to be a positive integer"),
        ({"num_samples": 2.0}, r"Received: num_samples=2\.0"),
        ({"num_samples": 2, "length": 1}, "at least 2. Received: length=1"),
        ({"num_samples": 2, "seed": -1}, "`seed` to be a non-negative integer"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        datasets.adding_problem(**arguments)


def test_stream_has_the_same_problem():
    x, y = datasets.adding_problem_stream(6, length=9, seed=0)[0]
    assert (x[..., 1].sum(axis=1) == 2).all()
    np.testing.assert_allclose(y[:, 0], (x[..., 0] * x[..., 1]).sum(axis=1))
    with pytest.raises(ValueError, match=r"at least 2\. Received: length=1"):
        datasets.adding_problem_stream(6, length=1)
