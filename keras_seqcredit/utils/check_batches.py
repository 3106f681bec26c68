"""Whether devices can share the batches of a training."""

import keras

from keras_seqcredit import backend
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_layer


def check_batches(
    model: keras.Model, num_examples: int, batch_size: int = 32
) -> None:
    """Raises an error if devices that train in parallel cannot share a batch.

    JAX ends a training at the first batch that does not divide among its
    devices, the last one of an epoch too; replicas of `tf.distribute` with
    unlike parts, or none, would weigh examples unlike one device. `fit` of the
    models of this package asks for arrays and a `PyDataset`, of validation too;
    ask before that of another model.

    Args:
        model: The model to be trained, made under a
            `tf.distribute.Strategy` or after
            `keras.distribution.set_distribution`. With neither, all is well.
        num_examples: Positive integer, examples in an epoch, of one process.
        batch_size: Positive integer, as for `fit`, of one process. Defaults to
            32.

    Raises:
        ValueError: if a batch cannot be shared evenly, or if the model was
            compiled with `jit_compile=True` for several replicas of
            TensorFlow, which XLA cannot put together.

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
