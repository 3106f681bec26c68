"""The base class of all views: when they run and where they write."""

import os
import pathlib
import time
import warnings
from collections.abc import Callable
from typing import Any
from typing import ClassVar

import keras

from keras_seqcredit import backend
from keras_seqcredit.callbacks.summary_writer import SummaryWriter
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_path
from keras_seqcredit.models.generative_model import GenerativeModel


class View(keras.callbacks.Callback):
    """Observes a model every few epochs and writes the results.

    A subclass sets the name of its `folder` and what it `shows`, and implements

    - `fits(model)`: whether the model has what it shows;
    - `observe(epoch, logs)`: its observations, a tuple;
    - `write(epoch, *seen)`: writes them with `self.writer`.

    The folder is `log_dir/<folder>`, which TensorBoard shows as a run of that
    name; see `SummaryWriter` for what happens if it is taken. If it cannot be
    written to, the view warns once and training continues without it.

    Args:
        log_dir: TensorBoard's log directory.
        frequency: Positive integer, number of epochs between updates. Defaults
            to `1`.

    Attributes:
        seconds: Float, the time of `fit` that the view has taken.
    """

    folder: ClassVar[str]
    shows: ClassVar[str]
    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any):
        view = super().__new__(cls)
        view._arguments = args, kwargs
        return view

    def __deepcopy__(self, memo: dict[int, Any]):
        """Returns a view with the same arguments and no model yet.

        KerasTuner copies callbacks for each training run. The state that a view
        keeps of a model, and the file that it writes, belong to one run.
        """
        args, kwargs = self._arguments
        copied = type(self)(*args, **kwargs)
        memo[id(self)] = copied
        return copied

    def __init__(
        self, log_dir: str | os.PathLike[str], frequency: int = 1
    ) -> None:
        super().__init__()
        check_path("log_dir", log_dir)
        self.frequency = check_integer("frequency", frequency)
        self.writer = SummaryWriter(pathlib.Path(log_dir) / self.folder)
        self.seconds = 0.0
        self._writable = True
        self._compiled: Any = None
        self._first_epoch: int | None = None

    @property
    def log_dir(self) -> pathlib.Path:
        """The folder that the view writes to, `<log_dir>/<folder>`."""
        return self.writer.log_dir

    @staticmethod
    def fits(model: keras.Model) -> bool:
        """Whether the model has what the view shows."""
        raise NotImplementedError

    def observe(self, epoch: int, logs: dict[str, Any]) -> tuple:
        """Returns its observations, with the current weights."""
        raise NotImplementedError

    def write(self, epoch: int, *seen: Any) -> None:
        """Writes the result of `observe`."""
        raise NotImplementedError

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self._compiled = None
        if self.fits(model):
            return
        others = [
            f"`{view.__name__}`"
            for view in View.__subclasses__()
            if view.fits(model)
        ]
        raise ValueError(
            f"`{type(self).__name__}` shows {self.shows}. Expected a model "
            f"that has them. Received: {described(model)}. Suitable views: "
            f"{', '.join(sorted(others)) or 'none'}"
        )

    def compute(self, function: Callable, *inputs: Any) -> Any:
        """Computes arrays from inputs, with the current weights.

        Its changes to the model, such as to seeds, are discarded.

        Args:
            function: Function of structures of tensors, the same at each call.
                It is compiled at the first one.
            *inputs: Structures of arrays.
        """
        model = self.model  # On JAX, this updates the weights.
        if self._compiled is None:

            def run(*inputs):
                known = [(v, backend.read(v)) for v in model.variables]
                with keras.StatelessScope(known):
                    return function(*inputs)

            self._compiled = backend.jit(run, model, optimize=False)
        tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
        return keras.tree.map_structure(
            keras.ops.convert_to_numpy, self._compiled(*tensors)
        )

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        # An interrupted run leaves its file open; this is another run.
        self._close()
        self._first_epoch = None

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if self._first_epoch is None:
            self._first_epoch = epoch

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if (epoch + 1) % self.frequency or not self._writable:
            return
        start = time.perf_counter()
        _ = self.model  # On JAX, this updates the weights.
        seen = self.observe(epoch, logs or {})
        first = epoch if self._first_epoch is None else self._first_epoch
        try:
            self.writer.open(first)
            self.write(epoch, *seen)
        except OSError as error:
            self._stop(error)
        self.seconds += time.perf_counter() - start

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._close()

    def _close(self) -> None:
        try:
            self.writer.close()
        except OSError as error:
            self._stop(error)

    def _stop(self, error: OSError) -> None:
        if self._writable:
            warnings.warn(
                f"No more of `{type(self).__name__}`: it cannot be written to "
                f"{self.log_dir}. {type(error).__name__}: {error}",
                stacklevel=2,
            )
        self._writable = False


def generator_of(model: keras.Model) -> Any:
    """The generator that a model trains, or else the model itself."""
    if isinstance(model, GenerativeModel):
        return model.generating_model()
    return model


def described(model: keras.Model) -> str:
    """Describes a model and its layers, for errors."""
    layers = ", ".join(f"{x.name} ({type(x).__name__})" for x in model.layers)
    return f"model {model.name} ({type(model).__name__}) with layers {layers}"
