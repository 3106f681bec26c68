"""What all streams of random sequences do."""

import keras
import numpy as np
import pytest

from keras_seqcredit import datasets

STREAMS = {
    "adding_problem": {"length": 5},
    "associative_recall": {"num_pairs": 4, "num_queries": 2, "hops": 2},
    "copying_memory": {"length": 3, "num_symbols": 2, "one_hot": True},
    "copying_memory of many lengths": {"length": (2, 5)},
    "selective_copying": {"length": 11, "one_hot": True},
}


def stream(name="copying_memory", **kwargs):
    function = getattr(datasets, f"{name.split()[0]}_stream")
    settings = {"seed": 0, "batches_per_epoch": 3, **STREAMS[name]}
    return function(4, **(settings | kwargs))


def as_bytes(batch):
    return b"".join(array.tobytes() for array in batch)


@pytest.mark.parametrize("name", STREAMS)
def test_batch_is_a_function_of_seed_epoch_and_index(name):
    first = stream(name)
    assert len(first) == 3
    epoch = [as_bytes(batch) for batch in first]
    assert as_bytes(first[1]) == epoch[1]
    first.on_epoch_end()
    next_epoch = [as_bytes(batch) for batch in first]
    assert len({*epoch, *next_epoch}) == 6
    resumed = stream(name, initial_epoch=1)
    assert [as_bytes(batch) for batch in resumed] == next_epoch
    assert as_bytes(stream(name, seed=1)[0]) != epoch[0]
    assert as_bytes(stream(name, seed=None)[0]) != epoch[0]


@pytest.mark.parametrize("name", STREAMS)
def test_batches_are_shaped_as_the_arrays(name):
    function = getattr(datasets, name.split()[0])
    arrays = function(4, **STREAMS[name], seed=0)
    batch = stream(name)[0]
    assert isinstance(batch, tuple) and len(batch) == len(arrays)
    for a, b in zip(arrays, batch, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)


@pytest.mark.parametrize("built", [True, False])
def test_resumed_training_equals_uninterrupted_training(built):
    def build():
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.layers.Dense(9, activation="softmax"),
            ]
        )
        if built:
            model.build((None, 7, 10))
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    whole = build()
    options = {"shuffle": False, "verbose": 0}
    whole.fit(stream(), epochs=3, **options)

    resumed = build()
    resumed.fit(stream(), epochs=1, **options)
    resumed.fit(
        stream(initial_epoch=1),
        initial_epoch=1,
        epochs=3,
        **options,
    )
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize(
    "argument, value",
    [
        ("batch_size", 0),
        ("batches_per_epoch", True),
        ("seed", -1),
        ("initial_epoch", -1),
    ],
)
def test_wrong_arguments(name, argument, value):
    function = getattr(datasets, f"{name.split()[0]}_stream")
    settings = {"batch_size": 4, **STREAMS[name], argument: value}
    with pytest.raises(
        ValueError, match=f"Expected `{argument}` .* Received: {argument}="
    ):
        function(**settings)
