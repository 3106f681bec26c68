"""The base class of the search spaces."""

import math
import os
import pathlib
import warnings
import weakref
from collections.abc import Callable
from typing import Any
from typing import ClassVar

import keras

from keras_seqcredit import backend
from keras_seqcredit.callbacks.schedule_logger import ScheduleLogger
from keras_seqcredit.checks import check_integer
from keras_seqcredit.models.finite_loss import FiniteLoss
from keras_seqcredit.models.generative_model import GenerativeModel
from keras_seqcredit.models.generative_model import build_for
from keras_seqcredit.tuners.failed_trials import TrialGuard
from keras_seqcredit.tuners.failed_trials import failing_trials
from keras_seqcredit.tuners.imports import FailedTrialError
from keras_seqcredit.tuners.imports import FatalValueError
from keras_seqcredit.tuners.imports import keras_tuner
from keras_seqcredit.tuners.search_configuration import check_configuration
from keras_seqcredit.tuners.trial_progress import TrialProgress

# Names of metrics, also as the end of a name.
_METRICS = {
    "min": (
        "loss",
        "nll",
        "nats",
        "kl",
        "error",
        "perplexity",
        "entropy",
        "crossentropy",
        "gap",
        "mse",
        "mae",
        "bits_per_step",
    ),
    "max": (
        "elbo",
        "bound",
        "likelihood",
        "accuracy",
        "active_units",
        "auc",
        "acc",
    ),
}


class TunedModel(keras_tuner.HyperModel):
    """A search space for models and their training.

    A subclass creates a model in `make_model` and compiles it in `compile`.

    Args:
        objective: A `keras_tuner.Objective`; the name of a metric of this
            package or of Keras, whose direction is known; or None for the
            model's own. Defaults to `None`.
        max_parameters: Positive integer, above which a trial fails, or None.
            Defaults to `None`.
        batch_sizes: Tuple of positive integers to choose from, or None. Data
            that come in batches have their own batch size, which causes a
            warning. Defaults to `(32, 64, 128)`.
        epochs: Positive integer, or a pair of the lowest and the highest.
            Defaults to `(10, 60)`.
        train_size: Positive integer, number of training examples, or None. If
            given, learning rates fall to 0 along a cosine. Defaults to `None`.
        log_dir: TensorBoard's log directory, or None. Each trial gets a folder
            in it and a line in the "HParams" tab. Defaults to `None`.
        seed: Integer, seed of each model, or None. Defaults to `None`.
        name: String; see `keras_tuner.HyperModel`. Defaults to `None`.
        tunable: Boolean; see `keras_tuner.HyperModel`. Defaults to `True`.

    Raises:
        ImportError: if KerasTuner is not installed.
        ValueError: if an argument is invalid.
    """

    # Name and direction of the model's own objective.
    default_objective: ClassVar[tuple[str, str]]

    def __init__(
        self,
        objective: Any = None,
        max_parameters: int | None = None,
        batch_sizes: tuple[int, ...] | None = (32, 64, 128),
        epochs: int | tuple[int, int] = (10, 60),
        train_size: int | None = None,
        log_dir: str | os.PathLike[str] | None = None,
        seed: int | None = None,
        name: str | None = None,
        tunable: bool = True,
    ) -> None:
        super().__init__(name, tunable)
        if objective is None:
            objective = keras_tuner.Objective(*self.default_objective)
        # Passed args.
        self.objective = _check_objective(objective)
        self.max_parameters = check_integer(
            "max_parameters", max_parameters, optional=True
        )
        self.batch_sizes = _check_batch_sizes(batch_sizes)
        self.epochs = _check_epochs(epochs)
        self.train_size = check_integer("train_size", train_size, optional=True)
        self.log_dir = None if log_dir is None else pathlib.Path(log_dir)
        self.seed = check_integer("seed", seed, minimum=0, optional=True)
        if train_size is not None and batch_sizes is None:
            raise ValueError(
                "The number of updates depends on the batch size. Expected "
                "`batch_sizes` to be given with `train_size`. Received: "
                f"train_size={train_size}, batch_sizes=None"
            )

        # Other args.
        # Other things that a cleared session forgets.
        self._dtype_policy = keras.config.dtype_policy()
        self._distribution = keras.distribution.distribution()
        self._executions: Any = weakref.WeakKeyDictionary()

    def make_model(self, hp: Any) -> keras.Model:
        """Creates an uncompiled model.

        Args:
            hp: A `keras_tuner.HyperParameters`.

        Returns:
            A `keras.Model`.
        """
        raise NotImplementedError

    def compile(self, hp: Any, model: keras.Model) -> None:
        """Compiles a model. Override it for another optimizer or loss.

        Args:
            hp: A `keras_tuner.HyperParameters`.
            model: A `keras.Model` from `make_model`.
        """
        raise NotImplementedError

    def declare_hyperparameters(self, hp: Any) -> None:
        """Declares the hyperparameters of `fit` before the first trial."""
        self._batch_size(hp)
        self._num_epochs(hp)

    def build(self, hp: Any) -> keras.Model:
        """Creates and compiles a model; releases the memory of earlier models.

        Args:
            hp: A `keras_tuner.HyperParameters`.

        Returns:
            A compiled `keras.Model`.

        Raises:
            FailedTrialError: of KerasTuner, if there is not enough memory.
        """
        backend.release_gradients()
        keras.utils.clear_session()  # Also collects garbage.
        keras.config.set_dtype_policy(self._dtype_policy)
        if self._distribution is not None:
            keras.distribution.set_distribution(self._distribution)
        if self.seed is not None:
            keras.utils.set_random_seed(self.seed)
        with failing_trials():
            model = self.make_model(hp)
            self.compile(hp, model)
        return model

    def fit(
        self,
        hp: Any,
        model: keras.Model,
        x: Any = None,
        y: Any = None,
        callbacks: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Trains a model; in a search, resumes a killed trial.

        Args:
            hp: A `keras_tuner.HyperParameters`.
            model: A compiled `keras.Model`.
            x: As in `keras.Model.fit`.
            y: As in `keras.Model.fit`.
            callbacks: List of callbacks. Defaults to `None`.
            **kwargs: Other arguments of `keras.Model.fit`. `batch_size` and
                `epochs` are not tuned if they are given here.

        Returns:
            A `keras.callbacks.History` of all epochs of the trial.

        Raises:
            FailedTrialError: of KerasTuner, if the model has too many
                parameters, its loss or its objective is not finite, or memory
                runs out. The search continues.
            FatalValueError: of KerasTuner, if the arguments do not match the
                search space, or the folder belongs to a search with another
                objective. The search ends.
        """
        kwargs = self._fit_arguments(hp, x, kwargs)
        callbacks = keras.tree.flatten(callbacks or [])
        trial = _find(callbacks, "tuner", "trial")
        best_epoch = _find(callbacks, "objective", "best_value")
        progress = None
        if trial is not None:
            check_configuration(trial.tuner, is_reloaded=True)
            # KerasTuner reloads a search only if one of its trials has ended.
            # Without this, a search killed in its first trial starts over.
            trial.tuner.save()
            progress = self._progress(hp, trial, best_epoch)
            if best_epoch is not None:
                progress.show_best(best_epoch)
            if progress.is_done:
                return progress.history()
            callbacks += self._views(hp, trial.trial.trial_id)
            callbacks += progress.callbacks()
        objective = getattr(best_epoch, "objective", self.objective)
        callbacks.insert(0, TrialGuard(objective, self.max_parameters))
        if isinstance(model, GenerativeModel):
            build_for(model, x)  # So that its size is known.
        else:
            callbacks.insert(0, FiniteLoss())
        try:
            with failing_trials():
                history = model.fit(x, y, callbacks=callbacks, **kwargs)
        except FailedTrialError:
            if progress is not None:
                progress.fail()
            raise
        if progress is None:
            return history
        progress.finish()
        return progress.history()

    def _progress(self, hp: Any, trial: Any, best_epoch: Any) -> TrialProgress:
        # KerasTuner does not say which training run of a trial this is, but all
        # of them share the callback that saves the best epoch.
        number = 0
        if best_epoch is not None:
            number = self._executions.get(best_epoch, 0)
            self._executions[best_epoch] = number + 1
        folder = trial.tuner.get_trial_dir(trial.trial.trial_id)
        folder = pathlib.Path(folder) / f"execution_{number}"
        return TrialProgress(folder, hp.values)

    def _views(self, hp: Any, trial_id: str) -> list[keras.callbacks.Callback]:
        if self.log_dir is None:
            return []
        values = {
            name: value
            for name, value in hp.values.items()
            if isinstance(value, (bool, int, float, str))
        }
        return [ScheduleLogger(self.log_dir / f"trial_{trial_id}", values)]

    def _fit_arguments(
        self, hp: Any, x: Any, kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """The arguments of `fit`, including the tuned ones."""
        kwargs = {"epochs": self._num_epochs(hp), **kwargs}
        in_batches = self.batch_sizes is not None and not _is_of_arrays(x)
        if in_batches and self.train_size is not None:
            raise FatalValueError(
                "The number of updates is not known for data that come in "
                "batches. Expected `x` to be arrays, or `train_size=None`. "
                f"Received: x={type(x).__name__}, train_size={self.train_size}"
            )
        if in_batches:
            warnings.warn(
                "The batch size is not tuned: data that come in batches have "
                "their own. `batch_sizes=None` says so. Received: "
                f"x={type(x).__name__}, batch_sizes={self.batch_sizes}",
                stacklevel=2,
            )
        elif self.batch_sizes is not None:
            kwargs = {"batch_size": self._batch_size(hp), **kwargs}
        validates = kwargs.get("validation_data") is not None
        validates = validates or bool(kwargs.get("validation_split"))
        if self.objective.name.startswith("val_") and not validates:
            raise FatalValueError(
                f"`{self.objective.name}` is measured on held-out data. "
                "Expected `validation_data` or `validation_split`. "
                f"Received: {sorted(kwargs)}"
            )
        return kwargs

    def _batch_size(self, hp: Any) -> int | None:
        if self.batch_sizes is None:
            return None
        return _choice(hp, "batch_size", self.batch_sizes)

    def _num_epochs(self, hp: Any) -> int:
        if isinstance(self.epochs, int):
            return hp.Fixed("epochs", self.epochs)
        low, high = self.epochs
        return hp.Int("epochs", low, high, default=high)

    def _num_updates(self, hp: Any) -> int | None:
        """The number of updates of training, if it is known."""
        if self.train_size is None:
            return None
        batches = math.ceil(self.train_size / (self._batch_size(hp) or 1))
        return self._num_epochs(hp) * batches

    def _falling(self, hp: Any, learning_rate: float) -> Any:
        """A learning rate that falls to 0 if the number of updates is known."""
        updates = self._num_updates(hp)
        if updates is None:
            return learning_rate
        return keras.optimizers.schedules.CosineDecay(learning_rate, updates)


def check_factory(name: str, value: Any, makes: str, optional: bool = False):
    """Checks that an argument creates a new object for each model.

    Raises:
        ValueError: if it does not. A Keras object shared by all models would
            keep the weights of the first.
    """
    if value is None and optional:
        return None
    if isinstance(value, keras.layers.Layer) or not callable(value):
        also = " or None" if optional else ""
        raise ValueError(
            f"Expected `{name}` to be a function of hyperparameters that makes "
            f"{makes}{also}. Received: {name}={value!r}"
        )
    return value


def made(factory: Callable[[Any], Any] | None, hp: Any) -> Any:
    """The result of a factory, or None without one."""
    return None if factory is None else factory(hp)


def _check_objective(objective: Any) -> Any:
    if isinstance(objective, str):
        return keras_tuner.Objective(objective, _direction(objective))
    if not isinstance(objective, keras_tuner.Objective):
        raise ValueError(
            "Expected `objective` to be a `keras_tuner.Objective`, the name of "
            "a metric, or None. "
            f"Received: objective={objective!r}"
        )
    if objective.direction not in ("min", "max"):
        raise ValueError(
            "Expected the direction of `objective` to be 'min' or 'max'. "
            f"Received: direction={objective.direction!r}"
        )
    return objective


def _direction(name: str) -> str:
    """Whether a lower or a higher value of a metric is better."""
    metric = name.removeprefix("val_")
    for direction, names in _METRICS.items():
        if metric in names or any(metric.endswith(f"_{x}") for x in names):
            return direction
    raise ValueError(
        "Expected `objective` to be a metric whose direction is known, or "
        f'`keras_tuner.Objective("{name}", direction="min")`, or "max". '
        f"Received: objective={name!r}"
    )


def _check_batch_sizes(sizes: Any) -> tuple[int, ...] | None:
    if sizes is None:
        return None
    if not isinstance(sizes, (tuple, list)) or not sizes:
        raise ValueError(
            "Expected `batch_sizes` to be a tuple of positive integers or "
            f"None. Received: batch_sizes={sizes!r}"
        )
    return tuple(check_integer("batch_sizes", size) for size in sizes)


def _check_epochs(epochs: Any) -> int | tuple[int, int]:
    if not isinstance(epochs, (tuple, list)):
        return check_integer("epochs", epochs)
    limits = tuple(check_integer("epochs", limit) for limit in epochs)
    if len(limits) != 2 or limits[0] > limits[1]:
        raise ValueError(
            "Expected `epochs` to be an integer, or the lowest and the highest "
            f"number. Received: epochs={epochs!r}"
        )
    return limits[0], limits[1]


def _choice(hp: Any, name: str, values: tuple) -> Any:
    """A choice whose default is the first value, in any order."""
    return hp.Choice(name, list(values), default=values[0])


def _find(callbacks: list, *attributes: str) -> Any:
    """The first callback that has these attributes, or None.

    KerasTuner's own callbacks have no public names.
    """
    for callback in callbacks:
        if all(hasattr(callback, name) for name in attributes):
            return callback
    return None


def _is_of_arrays(x: Any) -> bool:
    return not isinstance(x, keras.utils.PyDataset) and all(
        hasattr(leaf, "shape") for leaf in keras.tree.flatten(x)
    )
