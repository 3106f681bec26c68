"""Side effects of layers, which a loop over time would lose.

A loop calls a layer as a function of its weights, once for all steps on JAX,
and once more for the gradient. Random numbers would be the same at each step,
or different in the gradient; assignments and added losses would be lost.
"""

from collections.abc import Callable
from typing import Any

import keras

from keras_seqcredit.backend import keras_private
from keras_seqcredit.recurrence.keras_cell import call_once
from keras_seqcredit.recurrence.keras_cell import state_sizes

# Any number of rows that differs from sizes that broadcast.
_ROWS = 2


def side_effects(
    layer: keras.layers.Layer, function: Callable, *inputs: Any
) -> list[str]:
    """Describes the side effects of a call in words, without computing it.

    Args:
        layer: layer in which to find the owners of assigned variables.
        function: calls the layer in training.
        *inputs: Keras tensors that describe the inputs of the function.
    """
    scope = _record(function, *inputs)
    found = [_in_words(layer, variable) for variable in scope.assigned.values()]
    if scope.losses:
        found.append("adds losses, by `add_loss` or an `activity_regularizer`")
    # The same layer may draw twice.
    return list(dict.fromkeys(found))


def added_losses(function: Callable, *inputs: Any) -> int:
    """Number of losses that a call adds; nothing is computed."""
    return len(_record(function, *inputs).losses)


def check_cell(name: str, cell: Any, features: Any, dtype: str) -> None:
    """Raises a ValueError for a built cell that a loop cannot hold."""
    shapes = [features, *state_sizes(cell)]
    found = side_effects(
        cell,
        lambda inputs, *states: call_once(cell, inputs, states),
        *(keras.KerasTensor((_ROWS, size), dtype) for size in shapes),
    )
    if found:
        raise ValueError(
            f"`{name}` runs inside the loop over time, forward and, for the "
            "gradient, once more. Expected a cell that draws no random "
            "numbers, assigns no variables and adds no losses. The `dropout` "
            "and `recurrent_dropout` of Keras' own cells work, alone or in a "
            "list; put other such layers before or after the recurrent one. "
            f"Received: {name}={cell}, which {'; '.join(found)}"
        )


def check_network(name: str, network: Any, features: Any, dtype: str) -> None:
    """Raises a ValueError for a built network that a loop cannot hold."""
    found = side_effects(
        network,
        lambda inputs: network(inputs, training=True),
        keras.KerasTensor((_ROWS, features), dtype),
    )
    if found:
        raise ValueError(
            f"`{name}` runs inside the loop over time, forward and, for the "
            "gradient, once more. Expected a network without state, such as "
            "`Dense` and `LayerNormalization`, not `Dropout` or "
            f"`BatchNormalization`. Received: {name}={network}, which "
            f"{'; '.join(found)}"
        )


def _record(function: Callable, *inputs: Any) -> "_Recorder":
    scope = _Recorder(collect_losses=True)

    def call(*inputs):
        scope.forget()  # Keras may call twice.
        with scope:
            return function(*inputs)

    _Call(call).compute_output_spec(*inputs)
    return scope


def _in_words(layer: keras.layers.Layer, variable: Any) -> str:
    for part in keras_private.flat_layers(layer):
        where = "" if part is layer else f" in its layer {part.name!r}"
        seeds = keras_private.own_seed_generators(part)
        if any(seed.state is variable for seed in seeds):
            return f"draws random numbers{where}"
        if any(own is variable for own in _own(part)):
            return f"assigns {variable.name!r}{where}"
    if "seed_generator" in variable.path:
        return "draws random numbers"
    return f"assigns {variable.path!r}"


def _own(layer) -> list:
    metrics = keras_private.own_metrics(layer)
    return [
        *keras_private.own_trainable_variables(layer),
        *keras_private.own_non_trainable_variables(layer),
        *(v for metric in metrics for v in metric.variables),
    ]


class _Call(keras.Operation):
    """A function as an operation, which Keras can call without values."""

    def __init__(self, function: Callable) -> None:
        super().__init__(name="side_effects")
        self.call = function


class _Recorder(keras.StatelessScope):
    """Notes which variables are assigned."""

    def forget(self) -> None:
        self.assigned: dict[int, Any] = {}
        self.losses: list = []

    def add_update(self, update) -> None:
        super().add_update(update)
        variable, _ = update
        self.assigned[id(variable)] = variable
