"""States that a layer carries from one batch to the next."""

from typing import Any

import keras

from keras_seqcredit.backend import keras_private
from keras_seqcredit.types import Tensor


class CarriedStates:
    """A mixin of layers with `stateful`: states are variables, not weights.

    As in Keras, a layer has the weights that it would have without
    `stateful`, so that these go from one to the other and from one batch size
    to another. Unlike in Keras, the states are among the layer's `variables`:
    JAX keeps no others between calls. They are saved beside the weights, and
    loaded where they fit.
    """

    # Out of sight of Keras, which takes each variable that it finds for a
    # weight.
    _carried: "_Carried | None" = None

    @property
    def states(self) -> Any:
        """List of variables, or None before `build` and without `stateful`."""
        return None if self._carried is None else self._carried.variables

    @states.setter
    def states(self, value) -> None:
        if value is not None:
            raise AttributeError("`states` are made by `build`.")

    @property
    def variables(self) -> list:
        return [*super().variables, *(self.states or ())]  # type: ignore[misc]

    def _carry(self, values: list) -> None:
        """Makes states, which start as `values`; to be called by `build`."""
        self._carried = _Carried(
            [
                keras.Variable(
                    "zeros",
                    shape=tuple(value.shape),
                    dtype=keras.backend.standardize_dtype(value.dtype),
                    trainable=False,
                    autocast=False,
                    name="rnn_state",
                )
                for value in values
            ]
        )

    def _check_batch_size(self, sequences: Tensor) -> None:
        """Raises a ValueError where the states are of another batch size."""
        if self.states is None:
            return
        expected, found = self.states[0].shape[0], sequences.shape[0]
        if found not in (None, expected):
            raise ValueError(
                f"Layer '{self.name}' is stateful, "  # type: ignore[attr-defined]
                "so that each batch has as many rows as its states. Expected "
                f"batch size: {expected}. Received: batch size {found}. "
                "`predict` and `evaluate` take `batch_size`; to serve another "
                "one, make the model anew for it and use `set_weights`."
            )

    def save_own_variables(self, store) -> None:
        super().save_own_variables(store)  # type: ignore[misc]
        for i, state in enumerate(self.states or ()):
            store[f"state_{i}"] = state

    def load_own_variables(self, store) -> None:
        names = list(store.keys())
        states = [name for name in names if name.startswith("state_")]
        if not states:
            # Older files number them as weights, after the others.
            numbered = [name for name in names if name.isdigit()]
            own = len(keras_private.own_trainable_variables(self))
            own += len(keras_private.own_non_trainable_variables(self))
            if len(numbered) == own + self._num_states():
                states = [str(i) for i in range(own, len(numbered))]
        rest = {name: store[name] for name in names if name not in states}
        super().load_own_variables(rest)  # type: ignore[misc]
        values = [store[name] for name in sorted(states, key=_number)]
        variables = self.states or []
        if _shapes(variables) == _shapes(values):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    def _num_states(self) -> int:
        """How many states the layer has, if it is stateful."""
        raise NotImplementedError


def _number(name: str) -> int:
    return int(name.removeprefix("state_"))


def _shapes(tensors) -> list[tuple]:
    return [tuple(x.shape) for x in tensors]


class _Carried:
    def __init__(self, variables: list[Any]) -> None:
        self.variables = variables
