"""Arguments that our recurrent layers share with Keras' own."""

import random
from typing import Any

from keras_seqcredit.checks import check_choice
from keras_seqcredit.checks import check_flag
from keras_seqcredit.checks import check_named
from keras_seqcredit.checks import check_seed
from keras_seqcredit.checks import check_share

_FLAGS = (
    "return_sequences",
    "return_state",
    "go_backwards",
    "stateful",
    "unroll",
    "zero_output_for_mask",
    "use_bias",
    "unit_forget_bias",
    "reset_after",
)


def check_keras_arguments(arguments: dict[str, Any]) -> None:
    """Checks arguments that Keras does not check or rejects unclearly.

    Raises:
        ValueError: for a value of the wrong type or out of range.
    """
    # An initializer takes a seed when it is created; this one is not used.
    before = random.getstate()
    try:
        for name, value in arguments.items():
            _check_keras_argument(name, value)
    finally:
        random.setstate(before)
    check_seed(arguments.get("seed"))


def _check_keras_argument(name: str, value: Any) -> None:
    kind = name.rpartition("_")[2]
    if name in _FLAGS:
        check_flag(name, value)
    elif kind == "dropout":
        check_share(name, value)
    elif kind == "initializer":
        check_named(name, value, optional=name.startswith("attention"))
    elif kind in ("activation", "regularizer", "constraint"):
        check_named(name, value)


def take_drop_in_arguments(kwargs: dict[str, Any]) -> None:
    """Removes from `kwargs` arguments that do not affect values.

    Raises:
        ValueError: for a value that would; the message says what to do instead.
    """
    use_cudnn = kwargs.pop("use_cudnn", "auto")
    if use_cudnn is True:
        raise ValueError(
            "cuDNN has no kernel for this recurrence. It runs as one loop that "
            "the backend compiles, on every device. Expected `use_cudnn` to be "
            "'auto' or False. Received: use_cudnn=True"
        )
    check_choice("use_cudnn", use_cudnn, ("auto", False))
    # How Keras multiplies matrices; here there is only one way.
    check_choice("implementation", kwargs.pop("implementation", 2), (1, 2))
    weights = kwargs.pop("weights", None)
    if weights is not None:
        received = repr(weights)
        if isinstance(weights, (list, tuple)):
            received = f"a list of {len(weights)}"
        raise ValueError(
            "A layer has weights once it is built. Expected "
            "`weights=None`, then `layer.build((None, None, features))` and "
            "`layer.set_weights(weights)`. Received: "
            f"weights={received}"
        )
    if check_flag("time_major", kwargs.pop("time_major", False)):
        raise ValueError(
            "Expected sequences of shape (batch, time, features), with "
            "`time_major=False`: put "
            "`keras.ops.transpose(x, (1, 0, 2))` before the layer. Received: "
            "time_major=True"
        )


def check_cell_type(name: str, cell: Any) -> None:
    """Checks that `cell` is a cell, or a list of cells, which Keras stacks."""
    cells = cell if isinstance(cell, (list, tuple)) else [cell]
    is_cell = [callable(one) and hasattr(one, "state_size") for one in cells]
    if not cells or not all(is_cell):
        raise ValueError(
            f"Expected `{name}` to be a Keras RNN cell, such as "
            "`keras.layers.LSTMCell(32)`: a layer with a `state_size` and a "
            "`call(inputs, states)`. Received: "
            f"{name}={cell!r}"
        )
