"""States that a layer carries from one batch to the next."""

from typing import Any

import keras
from keras import ops

from keras_seqcredit.backend import keras_private
from keras_seqcredit.types import Tensor


class CarriedStates(keras.layers.Layer):
    """Base class of stateful layers, whose states are variables, not weights.

    As in Keras, a layer has the same weights with and without `stateful`, so
    weights can be transferred between the two and between batch sizes. Unlike
    in Keras, the states are among the layer's `variables`, because JAX keeps no
    others between calls. They are saved with the weights and loaded where their
    shapes match.
    """

    # Hidden from Keras, which treats every variable it finds as a weight.
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
        return [*super().variables, *(self.states or ())]

    def _first_states(self, batch_size: int) -> list:
        """Values of the states before the first batch."""
        raise NotImplementedError

    def reset_state(self) -> None:
        """Resets the states that a stateful layer carries between calls."""
        if self.states is not None:
            first = self._first_states(self.states[0].shape[0])
            self._keep_states(first)

    def _keep_states(self, values: list) -> None:
        for variable, value in zip(self.states, values, strict=True):
            variable.assign(ops.cast(value, variable.dtype))

    def _build_states(self, batch_size: int | None) -> None:
        """Creates the states; `build` of a stateful layer must call this."""
        if batch_size is None:
            raise ValueError(
                "`stateful=True` needs a known batch size, for example "
                "`keras.Input(batch_shape=(32, None, 8))`. Received: "
                "batch_size=None"
            )
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
                for value in self._first_states(batch_size)
            ]
        )
        self.reset_state()

    def _check_batch_size(self, sequences: Tensor) -> None:
        """Raises a ValueError if the states have another batch size."""
        if self.states is None:
            return
        expected, found = self.states[0].shape[0], sequences.shape[0]
        if found not in (None, expected):
            raise ValueError(
                f"Layer '{self.name}' is stateful, "
                "so each batch must have as many rows as its states. Expected "
                f"batch size: {expected}. Received: batch size {found}. "
                "`predict` and `evaluate` take `batch_size`; for another one, "
                "create the model again for it and use `set_weights`."
            )

    def save_own_variables(self, store) -> None:
        super().save_own_variables(store)
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
        super().load_own_variables(rest)
        values = [store[name] for name in sorted(states, key=_number)]
        variables = self.states or []
        if _shapes(variables) == _shapes(values):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    def _num_states(self) -> int:
        """Number of states of the layer, if it is stateful."""
        raise NotImplementedError


def _number(name: str) -> int:
    return int(name.removeprefix("state_"))


def _shapes(tensors) -> list[tuple]:
    return [tuple(x.shape) for x in tensors]


class _Carried:
    def __init__(self, variables: list[Any]) -> None:
        self.variables = variables
