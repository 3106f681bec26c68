"""One step of a recurrence, the interface that a loop over time calls."""

import abc
from typing import Any

from keras_seqcredit.types import Tensor


class Step(abc.ABC):
    """One step of a recurrence, as a pure function of its weights.

    A loop reads the weights once and then calls only the step:

    ```
    weights, constants = step.weights, step.constants(inputs[0])
    for x in inputs:
        states = step(weights, constants, x, states)
    ```

    States are a list of `(B, U)`, the hidden state first. A call draws no
    random numbers, assigns no variables and adds no losses: a loop calls it
    once for all steps, and once more for the gradient. See `side_effects`.

    Attributes:
        batch_axes: position of the batch axis in `constants` (see
            `backend.per_shard`): an integer for all of it or for parts of its
            structure, -1 for none.
    """

    batch_axes: Any = -1

    @property
    @abc.abstractmethod
    def weights(self) -> tuple:
        """Structure of tensors with a gradient."""

    def constants(self, step_inputs: Tensor) -> tuple:
        """Structure of other inputs of the step, such as dropout masks.

        Args:
            step_inputs: `(B, F)`, the inputs of a step, for their shape.
        """
        del step_inputs
        return ()

    @abc.abstractmethod
    def __call__(
        self, weights: tuple, constants: tuple, inputs: Any, states: list
    ) -> list:
        """The states after the step, as many as before.

        Args:
            weights: as the attribute.
            constants: what `constants` returned.
            inputs: of this step, `(B, F)` or a structure of such.
            states: list of `(B, U)`.
        """


class SplitStep(Step):
    """A step in two parts, the first of which is linear.

    `weights` is a pair: the weights of the linear part and of the rest. The
    loop keeps the output of the linear part, so that the backward pass repeats
    no matrix product, and passes it to the rest in place of the inputs:

    ```
    linear, rest = step.weights
    for x in inputs:
        gates = step.linear(linear, constants, x, states)
        states = step(rest, constants, gates, states)
    ```
    """

    @abc.abstractmethod
    def linear(
        self, weights: tuple, constants: tuple, inputs: Any, states: list
    ) -> Any:
        """Gates, `(B, G)` or a structure of such.

        Linear in the inputs and states, up to a constant.
        """
