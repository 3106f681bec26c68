"""Arguments of Keras' own LSTM and GRU that an attentive layer does without."""

from typing import Any

from keras_seqcredit.checks import check_choice


def take_drop_in_arguments(kwargs: dict[str, Any]) -> None:
    """Takes those out of `kwargs` that change no value.

    Raises:
        ValueError: for a value that would; it says what to do instead.
    """
    use_cudnn = kwargs.pop("use_cudnn", "auto")
    if use_cudnn is True:
        raise ValueError(
            "cuDNN has no kernel for this recurrence. It runs as one loop that "
            "the backend compiles, on every device. Expected `use_cudnn` to be "
            "'auto' or False. Received: use_cudnn=True"
        )
    check_choice("use_cudnn", use_cudnn, ("auto", False))
    # How Keras multiplies matrices, of which there is one way here.
    check_choice("implementation", kwargs.pop("implementation", 2), (1, 2))
    weights = kwargs.pop("weights", None)
    if weights is not None:
        raise ValueError(
            "A layer has weights once it knows its input. Expected "
            "`weights=None`, then `layer.build((None, None, features))` and "
            "`layer.set_weights(weights)`. Received: a list of "
            f"{len(weights)} `weights`"
        )
    if kwargs.pop("time_major", False):
        raise ValueError(
            "Expected sequences of shape (batch, time, features), with "
            "`time_major=False`: put "
            "`keras.ops.transpose(x, (1, 0, 2))` before the layer. Received: "
            "time_major=True"
        )
