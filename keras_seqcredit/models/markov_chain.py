"""The Markov chain of a transition operator, forward and on its way back."""

import copy
from typing import Any

import keras
from keras import ops

from keras_seqcredit.backend import keras_private
from keras_seqcredit.layers.transitions.transition import Transition
from keras_seqcredit.recurrence.side_effects import added_losses
from keras_seqcredit.seeds import FixedSeed
from keras_seqcredit.types import Tensor


class MarkovChain:
    """Steps of a chain, and their log-densities in both directions.

    Args:
        transition: A `Transition`.

    Attributes:
        classes: Integers `(batch,)`, class of each state, or None.
        guidance: Number, factor by which to amplify the effect of a class on
            the parameters of a step, or None for no amplification.
    """

    def __init__(self, transition: Transition) -> None:
        self.transition = transition
        self.classes: Any = None
        self.guidance: Any = None

    def given(self, classes: Any = None, guidance: Any = None) -> "MarkovChain":
        """Returns this chain for states of given classes, or of any if None."""
        if classes is None:
            return self
        chain = copy.copy(self)
        chain.classes, chain.guidance = classes, guidance
        return chain

    def parameters(self, state: Tensor, steps: Any, training: Any) -> Tensor:
        """Computes the parameters of the operator at states.

        Args:
            state: `(batch, ..., features)`.
            steps: Integers `(batch,)`, or None for the first step.
            training: Boolean.
        """
        if self.classes is None:
            return self.transition(state, steps, training=training)
        if self.guidance is None:
            return self.transition(
                state, steps, training=training, classes=self.classes
            )
        # Both in one call.
        unknown = ops.full_like(self.classes, self.transition.num_classes)
        both = self.transition(
            ops.concatenate([state, state]),
            None if steps is None else ops.concatenate([steps, steps]),
            training=training,
            classes=ops.concatenate([self.classes, unknown]),
        )
        parameters, without = ops.split(both, 2)
        return guided(parameters, without, self.guidance, state.shape[-1])

    def advance(
        self, state: Tensor, key: Any, temperature: Any, step: Any
    ) -> tuple[Tensor, Tensor]:
        """Takes a step and returns a state, a constant, and its log-density.

        Args:
            state: `(batch, ..., features)`.
            key: Key of random numbers.
            temperature: Scalar, or one for each state.
            step: Integer scalar, or one for each state.
        """
        steps = ops.broadcast_to(step, ops.shape(state)[:1])
        parameters = self.parameters(state, steps, training=False)
        return self.draw(parameters, key, temperature, ops.shape(state))

    def draw(
        self, parameters: Tensor, key: Any, temperature: Any, shape: Any
    ) -> tuple[Tensor, Tensor]:
        """Like `advance`, with known parameters at the state."""
        noise = self.transition.noise(shape, FixedSeed(key))
        after = self.transition.sample(parameters, noise, temperature)
        after = ops.stop_gradient(after)
        return after, self.transition.log_prob(parameters, after, temperature)

    def go_back(
        self,
        before: Tensor,
        after: Tensor,
        temperature: Any,
        step: Any,
        training: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """The way back: parameters, and log-densities of the previous states.

        The densities are those of the operator AT the states after the step.
        Taken at the states before it, they would reward an operator that does
        not move.

        Args:
            before: `(batch, ..., features)`.
            after: The same.
            temperature: Scalar, or one for each state.
            step: Integer scalar, or one for each state.
            training: Boolean. Defaults to `False`.
        """
        steps = ops.broadcast_to(step, ops.shape(after)[:1])
        parameters = self.parameters(after, steps, training)
        reverse = self.transition.log_prob(parameters, before, temperature)
        return parameters, reverse

    def go_back_all(
        self,
        before: Tensor,
        after: Tensor,
        schedule: tuple,
        steps_per_call: int,
        training: bool,
    ) -> Tensor:
        """Log-densities of the way back of many steps, `(steps, batch)`.

        Args:
            before: `(steps, batch, ..., features)`.
            after: The same.
            schedule: Temperatures and numbers of the steps.
            steps_per_call: Positive integer, number of steps scored in one call
                of the operator.
            training: Boolean.
        """
        total = schedule[0].shape[0]
        event = after.shape[2:]
        parts = []
        for i in range(0, total, steps_per_call):
            part = slice(i, i + steps_per_call)
            # Steps of a point are adjacent, so that devices share the points.
            first, second = (
                ops.swapaxes(x[part], 0, 1) for x in (before, after)
            )
            shape = ops.shape(second)[:2]
            temperature, step = (
                ops.reshape(ops.broadcast_to(x[part][None], shape), (-1,))
                for x in schedule
            )
            chain = self
            if self.classes is not None:
                chain = self.given(ops.repeat(self.classes, first.shape[1]))
            _, reverse = chain.go_back(
                ops.reshape(first, (-1, *event)),
                ops.reshape(second, (-1, *event)),
                temperature,
                step,
                training,
            )
            parts.append(ops.transpose(ops.reshape(reverse, shape)))
        return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=0)

    def check_losses(self, event: tuple) -> None:
        """Checks that the network adds no losses, which would count every call.

        A walk calls the network more often than it scores a step, and in a
        loop.
        """
        for layer in keras_private.flat_layers(self.transition):
            regularizer = getattr(layer, "activity_regularizer", None)
            if regularizer is not None:
                raise ValueError(
                    "Expected a network without activity regularizers; "
                    "weight regularizers are allowed. Received: a layer "
                    f"{layer.name!r} with activity_regularizer={regularizer}"
                )
        number = added_losses(
            lambda state, step: self.transition(state, step, training=True),
            keras.KerasTensor((1, *event), self.transition.parameter_dtype),
            keras.KerasTensor((1,), "int32"),
        )
        if number:
            raise ValueError(
                "Expected a network whose layers add no losses; weight "
                "regularizers are allowed. Received: a network "
                f"{self.transition.network.name!r} with `add_loss`, "
                f"{number} times a call"
            )


def guided(
    parameters: Tensor, without: Tensor, guidance: Any, features: int
) -> Tensor:
    """Parameters with the effect of a class multiplied by `guidance`.

    This applies to means or logits, the first parameters of each feature.
    Scales are those of the class: amplified, they could become negative.
    """
    first = without + guidance * (parameters - without)
    if parameters.shape[-1] == features:
        return first
    return ops.concatenate(
        [first[..., :features], parameters[..., features:]], axis=-1
    )


def step_size(before: Tensor, after: Tensor, axis: int) -> Tensor:
    """Root mean square of a step over features, the axes from `axis` on."""
    axes = tuple(range(axis, len(after.shape)))
    return ops.sqrt(ops.mean(ops.square(after - before), axis=axes))
