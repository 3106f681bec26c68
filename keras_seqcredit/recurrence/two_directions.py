"""Two recurrences over a sequence, one forward and one back, in one loop.

A device that one of them does not fill computes both at once.
"""

from typing import Any

from keras_seqcredit.recurrence.step import SplitStep
from keras_seqcredit.recurrence.structures import Constants
from keras_seqcredit.recurrence.structures import Operands
from keras_seqcredit.recurrence.structures import Recurrence
from keras_seqcredit.recurrence.structures import absent


class TwoDirections(SplitStep):
    """Two steps of one state each, as one step; neither has constants."""

    def __init__(self, *steps: SplitStep) -> None:
        self._steps = steps

    @property
    def weights(self) -> tuple:
        return tuple(step.weights[0] for step in self._steps), ()

    def linear(self, weights, constants, inputs, states) -> list:
        return [
            step.linear(w, constants, x, [state])
            for step, w, x, state in zip(
                self._steps, weights, inputs, states, strict=True
            )
        ]

    def __call__(self, weights, constants, gates, states) -> list:
        return [
            step(weights, constants, own, [state])[0]
            for step, own, state in zip(self._steps, gates, states, strict=True)
        ]


def in_one_loop(forward: Recurrence, backward: Recurrence) -> Recurrence:
    """Combines two recurrences without attention, of one state each.

    Args:
        forward: a recurrence of a `SplitStep` with one state.
        backward: another one, over the same sequence reversed.
    """
    both = forward, backward
    steps: Any = [x.settings.step for x in both]
    step = TwoDirections(*steps)
    operands = [x.operands for x in both]
    masks: Any = [x.constants.mask for x in both]
    return Recurrence(
        forward.settings._replace(step=step),
        Operands(
            (tuple(x.step[0] for x in operands), ()),
            (),
            [x.inputs for x in operands],
            [x.states[0] for x in operands],
        ),
        Constants(mask=() if absent(masks[0]) else masks),
    )
