"""Pictures of the attention of a sparse attentive layer during training."""

import json
import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import tree

from keras_seqcredit import backend
from keras_seqcredit.backend import keras_private
from keras_seqcredit.callbacks.chosen_examples import as_arrays
from keras_seqcredit.callbacks.chosen_examples import check_examples
from keras_seqcredit.callbacks.chosen_examples import check_label_lengths
from keras_seqcredit.callbacks.chosen_examples import check_labels
from keras_seqcredit.callbacks.chosen_examples import num_examples
from keras_seqcredit.callbacks.view import View
from keras_seqcredit.callbacks.view import described
from keras_seqcredit.callbacks.view import generator_of
from keras_seqcredit.layers.recurrent.sparse_attentive_rnn import (
    SparseAttentiveRNN,
)
from keras_seqcredit.models.autoregressive_rnn import AutoregressiveRNN
from keras_seqcredit.optional_import import import_optional
from keras_seqcredit.utils.plot_attention import plot_attention


class AttentionMap(View):
    """Plots after each epoch which past states each time step attends to.

    The pictures are made by `keras_seqcredit.utils.plot_attention`, saved as

    ```
    <log_dir>/attention_map/<layer>-example<index>-epoch<number>.png
    ```

    with the epoch number of the progress bar, and written for TensorBoard as
    images named `attention_map/<layer>/example_<index>`. There, epochs count
    from 0, as in `keras.callbacks.TensorBoard`. TensorBoard's "Credit" tab
    shows the same reads step by step.

    The layer itself need not return its attention: a copy with the same weights
    runs on the layer's input in the model, including masks. Training does not
    slow down between pictures.

    Args:
        x: Input of the model: an array, or a list or dictionary of arrays, with
            one row per example.
        log_dir: TensorBoard's log directory.
        layer: The `SparseAttentiveRNN`, `SABLSTM` or `SABGRU` to show, or its
            name. Defaults to the only one in the model.
        examples: Sequence of integers, the rows of `x` to draw. Defaults to
            `(0,)`.
        labels: Sequence of lists of strings, the names of the steps of each row
            of `x`. Defaults to the numbers of the steps.
        frequency: Positive integer, number of epochs between pictures. Defaults
            to `1`.

    Raises:
        ImportError: if matplotlib or TensorBoard is not installed.
        ValueError: if an argument is invalid; at the start of training, if the
            model has no such layer, or has several and `layer` is not given.

    If the folder cannot be written to, the callback warns once and training
    continues without pictures.

    Example:

    ```python
    import keras

    from keras_seqcredit import callbacks
    from keras_seqcredit import datasets
    from keras_seqcredit import layers

    x, y = datasets.copying_memory(64, length=10, one_hot=True, seed=0)
    model = keras.Sequential(
        [
            keras.Input((None, 10)),
            layers.SABLSTM(16, k_top=3, return_sequences=True, name="sab"),
            keras.layers.Dense(9, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(
        x,
        y,
        epochs=2,
        callbacks=[callbacks.AttentionMap(x, "logs", layer="sab")],
    )
    ```
    """

    folder = "attention_map"
    shows = "what a sparse attentive layer reads"

    def __init__(
        self,
        x: Any,
        log_dir: str | os.PathLike[str],
        layer: str | SparseAttentiveRNN | None = None,
        examples: Sequence[int] = (0,),
        labels: Sequence[Sequence[str]] | None = None,
        frequency: int = 1,
    ) -> None:
        import_optional("matplotlib", "examples", "`AttentionMap`")
        super().__init__(log_dir, frequency)
        x = as_arrays(x)
        number = num_examples(x)
        check_labels(labels, number)
        self.layer = layer
        self.examples = check_examples(examples, number)
        self.labels = labels
        self._x = tree.map_structure(lambda rows: rows[self.examples], x)
        self._layer: Any = None
        self._copy: Any = None
        self._run: Any = None

    @staticmethod
    def fits(model: keras.Model) -> bool:
        return any(
            isinstance(x, SparseAttentiveRNN) and x.k_top
            for x in generator_of(model).layers
        )

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self._layer = find_layer(generator_of(model), self.layer)
        check_label_lengths(self.labels, self._x, self._layer)
        # A `Sequential` without an `Input` is built by its first batch.
        self._run = None
        if model.built or not isinstance(model, keras.Sequential):
            self._build_probe(model)

    def _build_probe(self, model: keras.Model) -> None:
        self._copy, probe = _build_probe(generator_of(model), self._layer)
        self._run = backend.jit(probe, probe, optimize=False)

    def observe(self, epoch: int, logs: dict[str, Any]) -> tuple:
        return self.reads()

    def write(self, epoch: int, *seen: Any) -> None:
        slots, weights = seen
        for row, example in enumerate(self.examples):
            self._draw(row, example, epoch, slots[row], weights[row])

    def reads(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the layer's reads in the examples, with current weights.

        Returns:
            Tuple of NumPy arrays `(slots, weights)`, each
            `(len(examples), time, k_top)`, as with `return_attention=True`.
        """
        model = self.model  # On JAX, this updates the weights.
        if self._run is None:
            self._build_probe(model)
        self._copy.set_weights(
            [keras.ops.convert_to_numpy(v) for v in self._layer.weights]
        )
        x = tree.map_structure(keras.ops.convert_to_tensor, self._x)
        slots, weights = map(keras.ops.convert_to_numpy, self._run(x))
        return slots, weights

    def _draw(
        self,
        row: int,
        example: int,
        epoch: int,
        slots: np.ndarray,
        weights: np.ndarray,
    ) -> None:
        name = self._layer.name
        labels = None if self.labels is None else self.labels[example]
        inputs = self._inputs(row, len(slots))
        if self._layer.go_backwards:
            # The layer's first step is the last of the sequence.
            inputs = None if inputs is None else inputs[::-1]
            labels = None if labels is None else labels[::-1]
        figure = plot_attention(
            slots,
            weights,
            self._layer.k_att,
            inputs=inputs,
            labels=labels,
            title=f"{name}, example {example}, epoch {epoch + 1}",
        )
        tag = f"attention_map/{name}/example_{example}"
        png = self.writer.figure(tag, figure, epoch)
        file_name = name.replace("/", "_")
        path = self.log_dir / (
            f"{file_name}-example{example}-epoch{epoch + 1:04d}.png"
        )
        path.write_bytes(png)
        document = {
            "kind": "reads",
            "layer": name,
            "example": example,
            "length": len(slots),
            "labels": None if labels is None else [str(x) for x in labels],
            "inputs": _one_line(inputs),
            "reads": self._triples(slots, weights),
        }
        self.writer.json(
            f"credit/{name}/example_{example}/reads",
            json.dumps(document),
            epoch,
        )

    def _triples(self, slots: np.ndarray, weights: np.ndarray) -> list:
        """`[reader, read, weight]` of all reads."""
        reader, column = np.nonzero((slots >= 0) & (weights > 0))
        read = slots[reader, column] * self._layer.k_att - 1
        weight = weights[reader, column]
        return [
            [int(a), int(b), round(float(c), 4)]
            for a, b, c in zip(reader, read, weight, strict=True)
        ]

    def _inputs(self, row: int, num_steps: int) -> np.ndarray | None:
        """The model's input, if it is one sequence of the same length."""
        if (
            not isinstance(self._x, np.ndarray)
            or self._x.dtype.kind not in "biuf"
        ):
            return None
        inputs = self._x[row]
        if inputs.ndim not in (1, 2) or len(inputs) != num_steps:
            return None
        return inputs


def _one_line(inputs: np.ndarray | None) -> list[float] | None:
    """Inputs of one feature, as numbers."""
    if inputs is None or (inputs.ndim == 2 and inputs.shape[1] > 1):
        return None
    return [round(float(x), 4) for x in np.ravel(inputs)]


def find_layer(
    model: keras.Model, layer: str | SparseAttentiveRNN | None
) -> SparseAttentiveRNN:
    """Returns the requested sparse attentive layer of a model.

    Raises:
        ValueError: if there is none, if there are several and none is named, or
            if the named one does not attend.
    """
    candidates = [x for x in model.layers if isinstance(x, SparseAttentiveRNN)]
    if layer is not None:
        candidates = [x for x in candidates if layer in (x, x.name)]
    if len(candidates) != 1:
        if layer is None:
            expected = "a model with one layer that is"
            if candidates:
                expected = "`layer`, as the model has several that are"
        else:
            expected = f"`layer={getattr(layer, 'name', layer)!r}` to be"
        raise ValueError(
            f"Expected {expected} a `SparseAttentiveRNN`, `SABLSTM` or "
            f"`SABGRU`, in a model. Received: {described(model)}"
        )
    if not candidates[0].k_top:
        raise ValueError(
            "Without attention there is nothing to draw. Expected a layer with "
            f"`k_top` of at least 1. Received: layer {candidates[0].name} with "
            "k_top=0"
        )
    return candidates[0]


def _build_probe(
    model: keras.Model, layer: SparseAttentiveRNN
) -> tuple[SparseAttentiveRNN, keras.Model]:
    """A model up to the layer, with a copy that returns its attention."""
    calls = keras_private.symbolic_calls(layer)
    is_generator = isinstance(model, AutoregressiveRNN)
    if not is_generator and not (calls and getattr(model, "inputs", None)):
        raise ValueError(
            "The input of the layer is looked up in the graph of the model. "
            "Expected a built `Sequential`, a functional model or an "
            f"`AutoregressiveRNN`. Received: model {model.name} "
            f"({type(model).__name__}), built={model.built}"
        )
    copy = type(layer).from_config(
        {
            **layer.get_config(),
            "name": f"{layer.name}_attention_map",
            "return_attention": True,
            "return_memory": False,
            "return_sequences": False,
            "return_state": False,
            "stateful": False,
            # It runs only a few times; compiling it would take longer.
            "jit_compile": False,
        }
    )
    if is_generator:
        copy.build_from_config(layer.get_build_config())
        return copy, _GeneratorProbe(model, copy)
    # Called as the layer is, with its mask and initial state.
    outputs = copy(*calls[0].args, **calls[0].kwargs)
    return copy, keras.Model(model.inputs, outputs[-2:])


class _GeneratorProbe(keras.Model):
    """Returns what a copy of a generator's core reads in sequences."""

    def __init__(self, generator: AutoregressiveRNN, copy: Any) -> None:
        super().__init__(name="generator_probe")
        self.generator = generator
        self.copy = copy

    def call(self, inputs):
        net = self.generator.net
        sequences = net.read(inputs)
        _, steps = sequences.embedded(net.embedding, net.dtype)
        return self.copy(steps, mask=sequences.mask)[-2:]
