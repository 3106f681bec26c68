"""Training stops at the first loss that is not finite, and says where."""

import math

import keras


class FiniteLoss(keras.callbacks.Callback):
    """Raises a ValueError that names the epoch and the batch.

    With `steps_per_execution` it names the batches of the execution.
    """

    def __init__(self) -> None:
        super().__init__()
        self._epoch = 0
        self._first = 0

    def on_epoch_begin(self, epoch, logs=None):
        del logs
        self._epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        del logs
        self._first = batch

    def on_train_batch_end(self, batch, logs=None):
        # A net beside the model's own has a loss of another name.
        losses = {
            name: float(value)
            for name, value in (logs or {}).items()
            if name.endswith("loss")
        }
        if not all(map(math.isfinite, losses.values())):
            found = ", ".join(f"{k}={loss}" for k, loss in losses.items())
            of = f"batch {batch}"
            if batch > self._first:
                of = f"one of the batches {self._first} to {batch}"
            raise ValueError(
                f"The loss of {of} (counted from 0) of epoch "
                f"{self._epoch + 1} is not finite. Expected finite data and a "
                "learning rate at which training is stable. Received: "
                f"{found}"
            )
