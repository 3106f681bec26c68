"""The game between a generator and a discriminator of its runs."""

import contextlib
import inspect
from typing import Any
from typing import NamedTuple

import keras
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.checks import check_number
from keras_seqcredit.checks import check_sequence
from keras_seqcredit.layers.recurrent.behavior_discriminator import (
    BehaviorDiscriminator,
)
from keras_seqcredit.layers.recurrent.behavior_discriminator import (
    constant_rows,
)
from keras_seqcredit.types import Tensor

# Where exp of a logit, or of its negative, still fits float32.
_LARGEST_LOGIT = 60.0


class Score(NamedTuple):
    """The state of the game; the fields are metrics of the model.

    Attributes:
        discriminator_accuracy: Share of runs that are classified correctly.
        discriminator_loss: Loss of the discriminator.
        adversarial_loss: Loss of the generator.
    """

    discriminator_accuracy: Tensor
    discriminator_loss: Tensor
    adversarial_loss: Tensor


class Turn(NamedTuple):
    """One turn of both players.

    Attributes:
        score: The `Score` before it.
        by_behaviors: Gradient of the generator's loss with respect to the
            behaviors, 0 while the generator's gate is closed.
        by_weights: List of gradients of the discriminator's loss with respect
            to its trainable weights.
        listens: Float, 1 while the generator's gate is open.
        learns: Boolean, whether to update the discriminator.
        pull: `by_behaviors` for a weight of 1 and an open gate.
        penalty: Mean squared slope of the discriminator (see
            `ProfessorForcing`); 0 if no penalty is set.
    """

    score: Score
    by_behaviors: Tensor
    by_weights: list
    listens: Tensor
    learns: Any
    pull: Tensor
    penalty: Any


class DiscriminatorGame(NamedTuple):
    """The discriminator and the rules.

    Attributes:
        discriminator: See `ProfessorForcing`.
        match_teacher: See `ProfessorForcing`.
        accuracy_range: See `discriminator_accuracy_range` there.
        penalty: See `discriminator_penalty` there. Defaults to `None`.
    """

    discriminator: Any
    match_teacher: bool
    accuracy_range: tuple
    penalty: float | None = None

    def evaluate(self, behaviors: Tensor, mask: Any) -> Score:
        """Scores runs, with runs on data first."""
        given = {} if mask is None else {"mask": mask}
        return self.score(*ops.split(self.discriminator(behaviors, **given), 2))

    def score(self, on_data: Tensor, free: Tensor) -> Score:
        """Scores logits of runs on data and of free runs."""
        right = ops.concatenate([on_data > 0, free <= 0])
        mistaken = ops.mean(ops.softplus(-free))
        if self.match_teacher:
            mistaken = mistaken + ops.mean(ops.softplus(on_data))
        loss = ops.mean(ops.softplus(-on_data)) + ops.mean(ops.softplus(free))
        return Score(ops.mean(ops.cast(right, "float32")), loss, mistaken)

    def play(self, behaviors: Tensor, mask: Any, weight: Any) -> Turn:
        """Plays one turn and updates the discriminator's non-weight state.

        Args:
            behaviors: `(2 * batch, time, features)`, runs on data first.
            mask: Boolean `(2 * batch, time)` or None.
            weight: Weight of the generator's loss.
        """
        judge = self.discriminator
        given = self._arguments(mask)
        slope, by_slope = self._slope(behaviors, given)
        adds_losses = False

        def discriminate(behaviors, *weights):
            nonlocal adds_losses
            others = [backend.read(v) for v in judge.non_trainable_variables]
            with self._constant_data(behaviors):
                logits, after, losses = judge.stateless_call(
                    list(weights), others, behaviors, return_losses=True,
                    **given,
                )  # fmt: skip
            adds_losses = bool(losses)
            added = sum(map(ops.sum, losses), ops.zeros(()))
            return (logits, ops.cast(added, "float32")), after

        weights = [backend.read(v) for v in judge.trainable_variables]
        (logits, added), pull_back, after = backend.vjp(
            discriminate, behaviors, *weights, has_aux=True
        )
        on_data, free = ops.split(logits, 2)
        share = 1.0 / ops.cast(ops.shape(free)[0], "float32")
        own = share * ops.concatenate(
            [-ops.sigmoid(-on_data), ops.sigmoid(free)]
        )
        one = ops.ones_like(added)
        if isinstance(judge, BehaviorDiscriminator) and not adds_losses:
            # A row of the gradient is linear in the gradient of its logit, so
            # one backward pass serves the losses of both networks.
            by_behaviors, *by_weights = pull_back((own, one))
            ratio = -ops.exp(
                ops.clip(
                    ops.concatenate([on_data, -free]),
                    -_LARGEST_LOGIT,
                    _LARGEST_LOGIT,
                )
            )
            by_behaviors = ratio[:, None, None] * by_behaviors
        else:
            _, *by_weights = pull_back((own, one))
            _, pull_back, _ = backend.vjp(
                discriminate, behaviors, *weights, has_aux=True
            )
            mistaken = share * ops.concatenate(
                [ops.sigmoid(on_data), -ops.sigmoid(-free)]
            )
            by_behaviors, *_ = pull_back((mistaken, ops.zeros_like(added)))
        score = self.score(on_data, free)
        accuracy = backend.replica_mean(score.discriminator_accuracy)
        low, high = self.accuracy_range
        listens = ops.cast(accuracy > low, "float32")
        learns = accuracy < high
        self._update_state(after, learns)
        rows = ops.concatenate(
            [
                ops.ones_like(on_data) * float(self.match_teacher),
                ops.ones_like(free),
            ]
        )
        passes = (weight * listens * rows)[:, None, None]
        pull = ops.where(rows[:, None, None] > 0, by_behaviors, 0.0)
        by_behaviors = ops.where(passes > 0, passes * by_behaviors, 0.0)
        if by_slope:
            by_weights = list(map(ops.add, by_weights, by_slope))
        return Turn(
            score, by_behaviors, by_weights, listens, learns, pull, slope
        )

    def _slope(self, behaviors, given):
        """Mean squared gradient of the logit with respect to runs on data.

        Also returns the gradient of the penalty with respect to the
        discriminator's weights. Both loops of our discriminator can be
        differentiated twice.
        """
        if self.penalty is None:
            return 0.0, []
        judge = self.discriminator
        on_data, _ = ops.split(behaviors, 2)
        if "mask" in given:
            given = {**given, "mask": ops.split(given["mask"], 2)[0]}

        def slope(*weights):
            def logits(on_data):
                others = [
                    backend.read(v) for v in judge.non_trainable_variables
                ]
                logits, _ = judge.stateless_call(
                    list(weights), others, on_data, **given
                )
                return logits

            logits, pull_back = backend.vjp(logits, on_data)
            (gradient,) = pull_back(ops.ones_like(logits))
            return ops.mean(ops.sum(ops.square(gradient), axis=(1, 2)))

        weights = [backend.read(v) for v in judge.trainable_variables]
        with backend.differentiated_twice():
            value, pull_back = backend.vjp(slope, *weights)
        return value, list(pull_back(self.penalty * ops.ones_like(value)))

    def _arguments(self, mask):
        """Call arguments of the discriminator in training."""
        given = {} if mask is None else {"mask": mask}
        takes = inspect.signature(self.discriminator.call).parameters
        if "training" in takes:
            given["training"] = True
        return given

    def _constant_data(self, behaviors):
        """A scope in which runs on data are constants, where possible."""
        batch = behaviors.shape[0]
        if (
            batch
            and isinstance(self.discriminator, BehaviorDiscriminator)
            and not self.match_teacher
            # On devices that share a batch, other rows come first.
            and keras.distribution.distribution() is None
        ):
            return constant_rows(self.discriminator, batch // 2)
        return contextlib.nullcontext()

    def _update_state(self, after, learns):
        """Updates seeds, but moments only if the discriminator learns."""
        judge = self.discriminator
        weights = set(map(id, judge.non_trainable_weights))
        for variable, value in zip(
            judge.non_trainable_variables, after, strict=True
        ):
            if id(variable) in weights:
                value = ops.where(learns, value, backend.read(variable))
            variable.assign(value)


def check_accuracy_range(limits: Any) -> tuple[float, float]:
    """Returns the pair of `discriminator_accuracy_range`."""
    expected = "two numbers in [0, 1], the lower one first"
    name = "discriminator_accuracy_range"
    check_sequence(name, limits, 2)
    low, high = (
        check_number(name, limit, expected, lambda x: 0 <= x <= 1)
        for limit in limits
    )
    if low > high:
        raise ValueError(
            f"Expected `{name}` to be {expected}. Received: {name}={limits}"
        )
    return low, high
