"""Training that resumes after a crash as if it had not been interrupted."""

import copy
import os
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import keras

from keras_seqcredit import backend
from keras_seqcredit.backend import keras_private
from keras_seqcredit.callbacks import training_description
from keras_seqcredit.callbacks import training_state
from keras_seqcredit.checks import check_flag
from keras_seqcredit.checks import check_path
from keras_seqcredit.checks import check_sequence


class ExactResume(keras.callbacks.Callback):
    """Resumes an interrupted training run exactly, to the last bit.

    Like `keras.callbacks.BackupAndRestore`, it saves the state after each
    epoch, and the same call of `fit` in a new process continues after the last
    saved epoch. It also saves what that callback leaves out:

    - the random seeds of all layers, such as `Dropout`;
    - the state of NumPy's and Python's random number generators, which
      determine the order in which Keras shuffles arrays on JAX;
    - the counters of other callbacks, see `keep`;
    - the losses of the previous epochs, which `fit` returns with the new ones.

    Each state is written next to the previous one and then replaces it
    atomically: if the process is killed while writing, the previous state stays
    intact.

    On TensorFlow, the order of arrays comes from the global seed: call
    `keras.utils.set_random_seed` before `fit`. If you shuffle data yourself,
    the order should depend only on the epoch, or come from NumPy.

    Args:
        backup_dir: The folder for the state, used only by this training run.
            Several processes of one run share it; the first one writes.
        keep: Sequence of callbacks of the same `fit`, such as
            `keras.callbacks.EarlyStopping`, whose attributes that are numbers,
            strings or arrays are also saved. Defaults to `()`.
        delete_checkpoint: Boolean, whether to delete the state when training
            completes. Defaults to `True`.

    Put it last among the callbacks, so that it saves the effects of the others.
    The model must be built, or be one that `fit` builds.

    Raises:
        ValueError: at the start of training, if the model is not built, or if
            the folder holds the state of another training run: one with other
            weights, other arguments of the model, its layers or `compile`, or
            epochs of another length. Nothing is overwritten.

    Example:

    ```python
    import keras

    from keras_seqcredit import callbacks
    from keras_seqcredit import datasets
    from keras_seqcredit import layers

    keras.utils.set_random_seed(0)
    x, y = datasets.copying_memory(64, length=10, one_hot=True, seed=0)
    model = keras.Sequential(
        [
            keras.Input((None, 10)),
            layers.SABLSTM(16, k_top=3, return_sequences=True),
            keras.layers.Dense(9, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    plateau = keras.callbacks.ReduceLROnPlateau("loss")
    resume = callbacks.ExactResume("backup", keep=[plateau])
    model.fit(x, y, epochs=2, callbacks=[plateau, resume])
    ```
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        keep: Sequence[keras.callbacks.Callback] = (),
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        check_path("backup_dir", backup_dir)
        check_sequence("keep", keep, None)
        wrong = [x for x in keep if not isinstance(x, keras.callbacks.Callback)]
        if wrong:
            raise ValueError(
                "Expected `keep` to be callbacks. Received: "
                f"keep with {wrong[0]!r}"
            )
        # Passed args.
        self.backup_dir = pathlib.Path(backup_dir)
        self.keep = list(keep)
        self.delete_checkpoint = check_flag(
            "delete_checkpoint", delete_checkpoint
        )

        # Other args.
        self._training: dict[str, Any] = {}
        self._logs: list[dict[str, Any]] = []
        self._found: Any = None

    def __deepcopy__(self, memo: dict[int, Any]):
        """Returns a callback with the same arguments and no model yet."""
        keep = copy.deepcopy(self.keep, memo)
        copied = type(self)(self.backup_dir, keep, self.delete_checkpoint)
        memo[id(self)] = copied
        return copied

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        model = self.model
        if not model.built:
            raise ValueError(
                "Expected a model that is built before `fit`, by a call on a "
                f"batch or by `build`. Received: an unbuilt {model.name}"
            )
        self._training = training_description.describe(model, self.params)
        self._logs = []
        self._found = training_state.load(self.backup_dir)
        if self._found is None:
            return
        weights, numbers, arrays = self._found
        changes = training_description.differences(
            numbers["training"], self._training, model
        )
        if changes:
            raise ValueError(
                f"{self.backup_dir} holds the state of another training. "
                "Expected the same model, `compile` and data, or an empty "
                f"folder. Received: {'; '.join(changes)}"
            )
        optimizer = model.optimizer
        if optimizer is not None and not optimizer.built:
            optimizer.build(model.trainable_variables)
        model.load_weights(str(weights))
        training_state.set_seeds(model, arrays)
        keras_private.set_initial_epoch(model, numbers["epoch"])

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if self._found is None:
            return
        # Not earlier: by now, `fit` has drawn and other callbacks have reset.
        (_, numbers, arrays), self._found = self._found, None
        training_state.set_random_state(numbers["random"], arrays)
        training_state.set_callback_state(
            self.keep, numbers["callbacks"], arrays
        )
        for one in numbers["logs"]:
            self._record(**one)
            self.model.history.on_epoch_end(**one)

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._record(epoch, logs or {})
        if backend.process_index() == 0:
            self._save(self.backup_dir, epoch)
            return
        # Arrays that are sharded over processes are read by all of them.
        with tempfile.TemporaryDirectory() as folder:
            self._save(pathlib.Path(folder), epoch)

    def _save(self, folder: pathlib.Path, epoch: int) -> None:
        random_numbers, random_arrays = training_state.random_state()
        callbacks, callback_arrays = training_state.callback_state(self.keep)
        training_state.save(
            folder,
            epoch + 1,
            self.model,
            {
                "epoch": epoch + 1,
                "training": self._training,
                "random": random_numbers,
                "callbacks": callbacks,
                "logs": self._logs,
            },
            {
                **training_state.seed_arrays(self.model),
                **random_arrays,
                **callback_arrays,
            },
        )

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.delete_checkpoint and backend.process_index() == 0:
            training_state.delete(self.backup_dir)

    def _record(self, epoch: int, logs: dict[str, Any]) -> None:
        self._logs.append({"epoch": epoch, "logs": dict(logs)})
