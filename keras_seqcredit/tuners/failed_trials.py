"""Errors that fail a trial while the search continues."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import keras

from keras_seqcredit.models.finite_loss import NonFiniteLossError
from keras_seqcredit.tuners.imports import FailedTrialError

# Messages of the backends, which are not imported here.
_OUT_OF_MEMORY_CLASSES = {
    "MemoryError",
    "OutOfMemoryError",
    "ResourceExhaustedError",
}
_OUT_OF_MEMORY_WORDS = ("resource_exhausted", "out of memory")


@contextlib.contextmanager
def failing_trials() -> Iterator[None]:
    """Turns out-of-memory errors and non-finite losses into failed trials.

    If requested, KerasTuner repeats a trial that ended with any other error;
    with these errors, it would end the same way again.

    Raises:
        FailedTrialError: see above.
    """
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise FailedTrialError(
                "Out of memory. Expected a model and a batch that fit into "
                f"memory. Received: {type(error).__name__}: {error}"
            ) from error
        if is_loss_not_finite(error):
            raise FailedTrialError(str(error)) from error
        raise


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one of its causes, is a lack of memory."""
    found: BaseException | None = error
    while found is not None:
        names = {cls.__name__ for cls in type(found).__mro__}
        if names & _OUT_OF_MEMORY_CLASSES:
            return True
        # XLA's error class has many meanings; the message tells which.
        if isinstance(found, RuntimeError) or "OpError" in names:
            text = str(found).lower()
            if any(words in text for words in _OUT_OF_MEMORY_WORDS):
                return True
        found = found.__cause__ or found.__context__
    return False


def is_loss_not_finite(error: BaseException) -> bool:
    """Whether an error, or one of its causes, is raised by `FiniteLoss`."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, NonFiniteLossError):
            return True
        found = found.__cause__ or found.__context__
    return False


class TrialGuard(keras.callbacks.Callback):
    """Ends a trial if its model is too large or its objective not finite.

    Args:
        objective: A `keras_tuner.Objective`.
        max_parameters: Positive integer or None.
    """

    def __init__(self, objective: Any, max_parameters: int | None) -> None:
        super().__init__()
        self.objective = objective
        self.max_parameters = max_parameters

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self.model.built:
            check_size(self.model, self.max_parameters)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        # Some models are built by their first batch.
        if batch == 0:
            check_size(self.model, self.max_parameters)

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        names = getattr(self.objective, "name_to_direction", None)
        for name in names or [self.objective.name]:
            value = (logs or {}).get(name, 0.0)
            if not math.isfinite(value):
                raise FailedTrialError(
                    f"Expected a finite `{name}` after epoch {epoch + 1}. "
                    f"Received: {name}={value}"
                )


def check_size(model: keras.Model, max_parameters: int | None) -> None:
    """Checks that a model has at most `max_parameters` parameters.

    Raises:
        FailedTrialError: if it has more.
    """
    if max_parameters is None:
        return
    number = model.count_params()
    if number > max_parameters:
        raise FailedTrialError(
            f"Expected a model of at most max_parameters={max_parameters:,} "
            f"parameters. Received: {model.name} of {number:,} parameters"
        )
