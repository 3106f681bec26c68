"""Checks that devices can share the batches of a training run."""

import keras

from keras_seqcredit import backend
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_layer


def check_batches(
    model: keras.Model, num_examples: int, batch_size: int = 32
) -> None:
    """Raises an error if devices that train in parallel cannot share a batch.

    JAX ends training at the first batch that does not divide evenly among its
    devices, including the last one of an epoch. Replicas of `tf.distribute`
    with unequal shards, or none, would weight examples differently from one
    device. For arrays and a `PyDataset`, also for validation, `fit` of the
    models of this package calls this function; call it yourself before `fit` of
    another model.

    Args:
        model: The model to train, created under a `tf.distribute.Strategy` or
            after `keras.distribution.set_distribution`. With neither, the check
            always passes.
        num_examples: Positive integer, number of examples per epoch and
            process.
        batch_size: Positive integer, as for `fit`, per process. Defaults to 32.

    Raises:
        ValueError: if a batch cannot be shared evenly, or if the model was
            compiled with `jit_compile=True` for several TensorFlow replicas,
            which XLA cannot combine.

    Example:

    ```python
    import keras

    from keras_seqcredit import layers
    from keras_seqcredit import utils

    model = keras.Sequential([keras.Input((10, 3)), layers.SABLSTM(8)])
    model.compile("adam", "mse")
    utils.check_batches(model, num_examples=1000, batch_size=50)
    ```
    """
    check_layer("model", model)
    check_integer("num_examples", num_examples)
    check_integer("batch_size", batch_size)
    devices = backend.num_batch_shards(model)
    if devices == 1:
        return
    rest = num_examples % batch_size
    if batch_size % devices or rest % devices:
        raise ValueError(
            f"{devices} devices share each batch. Expected `batch_size`, and "
            "the examples of the last batch, to be multiples of that; leave "
            f"out {num_examples % devices} of the examples, or choose another "
            f"`batch_size`. Received: {num_examples} examples in batches of "
            f"{batch_size}, the last of {rest or batch_size}"
        )
    backend.check_replicas(model)
