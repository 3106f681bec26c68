"""Logs schedules, learning rates and objectives under common names."""

import os
from typing import Any

import keras

from keras_seqcredit.backend import keras_private
from keras_seqcredit.callbacks.view import View
from keras_seqcredit.models.variational_walkback import VariationalWalkback
from keras_seqcredit.models.z_forcing import ZForcing
from keras_seqcredit.optional_import import import_optional
from keras_seqcredit.schedules import Schedule


class ScheduleLogger(View):
    """Logs scheduled weights and rates, so that runs can be compared.

    After each epoch, writes scalars for TensorBoard, where epochs count from 0:

    - `schedules/<name>` and `schedules/<layer>/<name>`: each weight for which a
      model or a layer has a `Schedule`, such as `kl_weight`, after the epoch;
    - `optimizer/learning_rate`, or `optimizer/learning_rate_<number>` for a
      model with several optimizers, the discriminator's last;
    - `objective/<name>` and `objective/val_<name>`: everything that `fit`
      reports. `nats` is the cost of a sequence or an example, or an upper bound
      of it, under one name for all models: `nll`, the negative `elbo` of
      `ZForcing`, or the negative `bound` of `VariationalWalkback`.

    With `hyperparameters`, TensorBoard's "HParams" tab lists the run with them
    and with these scalars, so that the runs of a search can be sorted.

    Args:
        log_dir: TensorBoard's log directory.
        hyperparameters: Dictionary from names to booleans, numbers, strings or
            None, which is listed as "None". Defaults to `None`, which lists
            none.
        frequency: Positive integer, number of epochs between updates. Defaults
            to `1`.

    Raises:
        ImportError: if TensorBoard is not installed.
        ValueError: if an argument is invalid.

    Example:

    ```python
    import numpy as np

    from keras_seqcredit import callbacks
    from keras_seqcredit import layers
    from keras_seqcredit import models
    from keras_seqcredit import schedules

    model = models.ZForcing(
        layers.StochasticRNN(16, latent_dim=4),
        layers.GaussianHead(3),
        kl_weight=schedules.LinearSchedule(0.2, 1.0, steps=100),
    )
    model.compile("adam")
    model.fit(
        np.random.randn(32, 10, 3).astype("float32"),
        callbacks=[callbacks.ScheduleLogger("logs", {"latent_dim": 4})],
    )
    ```
    """

    folder = "schedules"
    shows = "schedules and learning rates"

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        hyperparameters: dict[str, Any] | None = None,
        frequency: int = 1,
    ) -> None:
        super().__init__(log_dir, frequency)
        self._hparams = import_optional(
            "tensorboard.plugins.hparams.summary_v2",
            "examples",
            "`ScheduleLogger`",
        )
        if not isinstance(hyperparameters, (dict, type(None))):
            raise ValueError(
                "Expected `hyperparameters` to be a dictionary or None. "
                f"Received: hyperparameters={hyperparameters!r}"
            )
        for name, value in (hyperparameters or {}).items():
            if not isinstance(value, (bool, int, float, str, type(None))):
                raise ValueError(
                    "Expected `hyperparameters` to be booleans, numbers, "
                    f"strings or None. Received: {name}={value!r}"
                )
        # TensorBoard does not support None.
        self.hyperparameters = hyperparameters and {
            name: "None" if value is None else value
            for name, value in hyperparameters.items()
        }
        self._is_listed = False

    @staticmethod
    def fits(model: keras.Model) -> bool:
        return True

    def observe(self, epoch: int, logs: dict[str, Any]) -> tuple:
        model = self.model  # On JAX, this updates the weights.
        scalars = {
            f"schedules/{name}": value
            for name, value in _schedules(model).items()
        }
        rates = _learning_rates(model.optimizer)
        for number, rate in enumerate(rates):
            suffix = "" if len(rates) == 1 else f"_{number}"
            scalars[f"optimizer/learning_rate{suffix}"] = rate
        for name, value in _lined_up(model, logs).items():
            scalars[f"objective/{name}"] = value
        return (scalars,)

    def write(self, epoch: int, *seen: Any) -> None:
        (scalars,) = seen
        if self.hyperparameters and not self._is_listed:
            self._is_listed = True
            # From its folder: two runs with the same values get two lines.
            self.writer.proto(
                self._hparams.hparams_pb(
                    self.hyperparameters, trial_id=str(self.log_dir)
                )
            )
        for tag, value in scalars.items():
            self.writer.scalar(tag, value, epoch)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        self._is_listed = False


def _schedules(model: keras.Model) -> dict[str, float]:
    """Values of all schedules, by the names of their attributes."""
    values = {}
    parts = {"": model}
    # Includes models within a model, such as a generator.
    inside = keras_private.flat_layers(model, include_self=False)
    parts |= {f"{part.name}/": part for part in inside}
    for prefix, part in parts.items():
        updates = getattr(part, "updates", None)
        step = 0 if updates is None else int(updates)
        for name, value in vars(part).items():
            if isinstance(value, Schedule):
                values[prefix + name] = float(value(step))
    return values


def _learning_rates(optimizer: Any) -> list[float]:
    if optimizer is None:
        return []
    optimizers = getattr(optimizer, "optimizers", None) or [optimizer]
    return [
        float(keras.ops.convert_to_numpy(one.learning_rate))
        for one in optimizers
    ]


def _lined_up(model: keras.Model, logs: dict[str, Any]) -> dict[str, float]:
    """The logs, with the cost of an example in nats under one name."""
    lined_up = {name: float(value) for name, value in logs.items()}
    source, sign = "nll", 1
    if isinstance(model, ZForcing):
        source, sign = "elbo", -1
    elif isinstance(model, VariationalWalkback):
        source, sign = "bound", -1
    for prefix in ("", "val_"):
        if prefix + source in lined_up:
            lined_up[f"{prefix}nats"] = sign * lined_up[prefix + source]
    return lined_up
