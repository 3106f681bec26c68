"""Stops training at the first non-finite loss and reports where."""

import math
import threading
from typing import Any

import keras

from keras_seqcredit import backend


class NonFiniteLossError(ValueError):
    """Raised by `fit` at the first loss that is NaN or infinite.

    `fit` of the models of this package raises it before any other callback of
    the batch is called, so that no checkpoint stores the effects of a bad
    batch. The message names the epoch, the batch and the losses. A
    hyperparameter search treats it as a failed trial and continues.

    Example:

    ```python
    import numpy as np

    from keras_seqcredit import layers
    from keras_seqcredit import models

    model = models.AutoregressiveRNN(
        layers.SABLSTM(4, memory_size=8, return_sequences=True),
        layers.GaussianHead(1),
    )
    model.compile("adam")
    broken = np.full((2, 5, 1), np.nan, "float32")
    try:
        model.fit(broken, verbose=0)
    except models.NonFiniteLossError as error:
        print(error)
    ```
    """


class FiniteLoss(keras.callbacks.Callback):
    """Raises a `NonFiniteLossError` that names the epoch and the batch.

    With `steps_per_execution`, it names the batches of the execution.
    """

    def __init__(self) -> None:
        super().__init__()
        # Unless this is True, Keras waits for a step before it starts the next
        # one, and so does an accelerator. If it is, batches end in threads and
        # in any order. Processes that train together must stop together.
        self.async_safe = backend.process_count() == 1
        self._epoch = 0
        self._begun: list[int] = []
        self._ended: dict[int, tuple[int, dict[str, float]]] = {}
        self._failed = False
        self._lock = threading.Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> "FiniteLoss":
        """Returns a fresh callback, since a lock cannot be copied."""
        memo[id(self)] = FiniteLoss()
        return memo[id(self)]

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        del logs
        self._epoch = epoch
        self._begun, self._ended, self._failed = [], {}, False

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        del logs
        with self._lock:
            self._begun.append(batch)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        # A second network of the model has a loss of another name.
        losses = {
            name: float(value)
            for name, value in (logs or {}).items()
            if name.endswith("loss")
        }
        with self._lock:
            first = max(begun for begun in self._begun if begun <= batch)
            self._ended[first] = batch, losses
            while self._begun and self._begun[0] in self._ended:
                first = self._begun.pop(0)
                self._check(first, *self._ended.pop(first))

    def _check(self, first: int, last: int, losses: dict[str, float]) -> None:
        if self._failed or all(map(math.isfinite, losses.values())):
            return
        self._failed = True  # Only the first failure is reported.
        received = ", ".join(f"{k}={loss}" for k, loss in losses.items())
        of = f"batch {last}"
        if last > first:
            of = f"one of the batches {first} to {last}"
        raise NonFiniteLossError(
            f"The loss of {of} (counted from 0) of epoch "
            f"{self._epoch + 1} is not finite. Expected finite data and a "
            "learning rate at which training is stable. Received: "
            f"{received}"
        )
