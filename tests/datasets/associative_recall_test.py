import numpy as np
import pytest

from keras_seqcredit import datasets


def follow(pairs, key, hops):
    """The value that `hops` pairs lead to from a key."""
    for _ in range(hops):
        (key,) = [right for left, right in pairs if left == key]
    return key


@pytest.mark.parametrize(
    "num_pairs, num_queries, num_keys, num_values, length, hops",
    [
        (1, 1, 1, 1, 3, 1),
        (8, 4, 16, 16, 20, 1),
        (5, 5, 5, 5, 15, 1),
        (6, 2, 9, 4, 40, 2),
        (6, 2, 6, 2, 14, 3),
        (4, 1, 4, 7, 11, 4),
    ],
)
def test_targets_are_what_the_pairs_lead_to(
    num_pairs, num_queries, num_keys, num_values, length, hops
):
    x, y = datasets.associative_recall(
        50, num_pairs, num_queries, num_keys, num_values, length, hops, seed=0
    )
    assert x.shape == y.shape == (50, length)
    assert x.dtype == y.dtype == np.int32
    assert x.max() <= num_values + num_keys and y.max() <= num_values
    start = 2 * num_pairs
    for row in range(50):
        pairs = x[row, :start].reshape(-1, 2).tolist()
        lefts, rights = zip(*pairs, strict=True)
        assert len(set(lefts)) == len(set(rights)) == num_pairs
        assert min(lefts) > num_values
        assert sum(r <= num_values for r in rights) == num_pairs // hops
        queries = np.flatnonzero(x[row, start:]) + start
        assert len(queries) == len({*x[row, queries]}) == num_queries
        np.testing.assert_array_equal(np.flatnonzero(y[row]), queries)
        for step in queries:
            assert x[row, step] not in rights
            assert y[row, step] == follow(pairs, x[row, step], hops)


def test_pairs_queries_and_steps_are_all_equally_likely():
    x, y = datasets.associative_recall(8000, 4, 1, 4, 4, 12, 2, seed=0)
    for place in range(0, 8, 2):
        keys = np.bincount(x[:, place], minlength=9)[5:] / 8000
        np.testing.assert_allclose(keys, 1 / 4, atol=0.02)
    np.testing.assert_allclose((x[:, 8:] > 0).mean(axis=0), 1 / 4, atol=0.02)
    answers = np.bincount(y[y > 0], minlength=5)[1:] / 8000
    np.testing.assert_allclose(answers, 1 / 4, atol=0.02)
    # The pair of the query comes before the one it leads to as often as after.
    query = x[:, 8:].max(axis=1, keepdims=True)
    answer = y.max(axis=1, keepdims=True)
    first = np.argmax(x[:, :8:2] == query, axis=1)
    last = np.argmax(x[:, 1:8:2] == answer, axis=1)
    assert (first < last).mean() == pytest.approx(1 / 2, abs=0.02)


def test_without_a_length_there_are_no_blanks():
    x, y = datasets.associative_recall(20, num_pairs=6, num_queries=3, seed=0)
    assert x.shape == (20, 15) and (x > 0).all()
    assert (y[:, 12:] > 0).all() and not y[:, :12].any()


def test_one_hot_encodes_the_same_sequences():
    x, y = datasets.associative_recall(6, length=30, hops=2, seed=1)
    x_one_hot, y_one_hot = datasets.associative_recall(
        6, length=30, hops=2, one_hot=True, seed=1
    )
    assert (x_one_hot.shape, x_one_hot.dtype) == ((6, 30, 33), np.float32)
    assert (x_one_hot.sum(axis=-1) == 1).all()
    np.testing.assert_array_equal(x_one_hot.argmax(axis=-1), x)
    np.testing.assert_array_equal(y_one_hot, y)


def test_seed_decides_the_data():
    x = datasets.associative_recall(8, seed=3)[0]
    np.testing.assert_array_equal(x, datasets.associative_recall(8, seed=3)[0])
    assert not np.array_equal(x, datasets.associative_recall(8, seed=4)[0])
    assert not np.array_equal(x, datasets.associative_recall(8)[0])


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_pairs": 0},
        {"num_queries": 0},
        {"num_keys": 2.5},
        {"num_values": "4"},
        {"length": -1},
        {"hops": 0},
        {"seed": 0.5},
        {"num_pairs": 8, "hops": 3},
        {"num_queries": 9},
        {"num_queries": 4, "hops": 4},
        {"num_keys": 7},
        {"num_values": 7},
        {"length": 19},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "function",
    [datasets.associative_recall, datasets.associative_recall_stream],
)
def test_wrong_arguments(function, arguments):
    name = next(iter(arguments))
    with pytest.raises(
        ValueError, match=f"Expected `{name}` .* Received: {name}="
    ):
        function(4, **arguments)
