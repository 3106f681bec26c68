"""Shows how far credit reaches: gradients of the last loss, by lag."""

import json
import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from keras import tree

from keras_seqcredit import backend
from keras_seqcredit.callbacks.chosen_examples import as_arrays
from keras_seqcredit.callbacks.chosen_examples import check_examples
from keras_seqcredit.callbacks.chosen_examples import check_label_lengths
from keras_seqcredit.callbacks.chosen_examples import check_labels
from keras_seqcredit.callbacks.chosen_examples import num_examples
from keras_seqcredit.callbacks.perturbed_rnn import PerturbedRNN
from keras_seqcredit.callbacks.perturbed_rnn import is_recurrent
from keras_seqcredit.callbacks.pictures import new_figure
from keras_seqcredit.callbacks.view import View
from keras_seqcredit.callbacks.view import described
from keras_seqcredit.callbacks.view import generator_of
from keras_seqcredit.models.autoregressive_rnn import AutoregressiveRNN
from keras_seqcredit.optional_import import import_optional


class CreditAssignment(View):
    """Measures how much gradient of the final loss reaches each earlier state.

    After each epoch, for some examples, the loss of the last step, or of the
    whole sequence if it has a single loss, is differentiated with respect to
    the hidden state of a recurrent layer at each step. The callback plots the
    norm of this gradient against the lag to the last step. Truncated
    back-propagation gives exactly 0 beyond its cut, full back-propagation what
    is left after that many steps, and sparse attention what was remembered.

    The plot is written for TensorBoard as image `credit_assignment/<layer>`,
    and TensorBoard's "Credit" tab shows the curves of all runs together. The
    norms of the gradient of the mean loss with respect to each of the model's
    weights are written as scalars `gradient_norm/<weight>`. Epochs count from
    0, as in `keras.callbacks.TensorBoard`. Training does not slow down between
    updates.

    Args:
        x: Input of the model: an array, or a list or dictionary of arrays, with
            one row per example. A few dozen are enough.
        y: Targets of these examples; None for an `AutoregressiveRNN` or
            `ProfessorForcing`, which predicts its input.
        log_dir: TensorBoard's log directory.
        layer: The recurrent layer to show, or its name: a `SABLSTM`, `SABGRU`,
            `SparseAttentiveRNN` or any `keras.layers.RNN`. Defaults to the only
            one in the model.
        examples: Sequence of integers, the rows of `x` to show one by one in
            the "Credit" tab. Defaults to `(0,)`.
        labels: Sequence of lists of strings, the names of the steps of each row
            of `x`, for that tab. Defaults to `None`.
        frequency: Positive integer, number of epochs between updates. Defaults
            to `1`.
        output: For a model with several outputs, the name or number of the one
            whose loss to use; `y` has its targets. Optional if there is only
            one output. Defaults to `None`.

    Padded steps get no gradient; lags count from the last step that is not
    padding.

    Raises:
        ImportError: if matplotlib or TensorBoard is not installed.
        ValueError: if an argument is invalid; at the start of training, if the
            model has no such layer, has several and `layer` is not given, has
            several outputs and `output` is not given, or was compiled without a
            loss of that output.

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
            layers.SABLSTM(16, k_top=3, k_trunc=5, return_sequences=True),
            keras.layers.Dense(9, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(
        x,
        y,
        epochs=2,
        callbacks=[callbacks.CreditAssignment(x[:8], y[:8], "logs")],
    )
    ```

    References:
        - Ke et al., "Sparse Attentive Backtracking: Temporal Credit Assignment
          Through Reminding", NeurIPS 2018, arXiv:1809.03702.
    """

    folder = "credit_assignment"
    shows = (
        "gradients by the states of a `keras.layers.RNN` or a "
        "`SparseAttentiveRNN`"
    )

    def __init__(
        self,
        x: Any,
        y: Any,
        log_dir: str | os.PathLike[str],
        layer: Any = None,
        examples: Sequence[int] = (0,),
        labels: Sequence[Sequence[str]] | None = None,
        frequency: int = 1,
        output: str | int | None = None,
    ) -> None:
        import_optional("matplotlib", "examples", "`CreditAssignment`")
        super().__init__(log_dir, frequency)
        self._x = as_arrays(x)
        number = num_examples(self._x)
        self._y = () if y is None else as_arrays(y, "y")
        if y is not None and num_examples(self._y) != number:
            raise ValueError(
                "Expected `y` to have a target for each of the "
                f"{number} rows of `x`. Received: {num_examples(self._y)} rows"
            )
        self._has_targets = y is not None
        self.layer = layer
        self.output = output
        self.examples = check_examples(examples, number)
        check_labels(labels, number)
        self.labels = labels
        self._layer: Any = None
        self._run: Any = None

    @staticmethod
    def fits(model: keras.Model) -> bool:
        return bool(_candidates(model))

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self._layer = _find_layer(model, self.layer)
        check_label_lengths(self.labels, self._x, self._layer)
        generator = generator_of(model)
        if isinstance(generator, AutoregressiveRNN):
            if self._has_targets:
                raise ValueError(
                    "The model predicts its input. Expected `y=None`. "
                    f"Received: y of {num_examples(self._y)} rows"
                )
        elif not self._has_targets:
            raise ValueError(
                f"Expected `y`, the targets of `x`, for {described(model)}. "
                "Received: y=None"
            )
        else:
            _check_graph(model)
            _loss_of_output(model, self.output)
        self._run = None

    def observe(self, epoch: int, logs: dict[str, Any]) -> tuple:
        return self.norms()

    def norms(self) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
        """Computes norms of gradients, with the current weights.

        Returns:
            Tuple of the gradient norms for the state at each step, a NumPy
            array `(examples, time)`; the index of the last step of each
            example, `(examples,)`; and a dictionary of the gradient norms for
            each weight.
        """
        model = self.model  # On JAX, this updates the weights.
        if self._run is None:
            run = _gradients(model, self._layer, self.output)
            self._run = backend.jit(run, model, optimize=False)
        inputs = tree.map_structure(ops.convert_to_tensor, (self._x, self._y))
        norms = self._run(*inputs)
        by_state, last, by_weight = tree.map_structure(
            ops.convert_to_numpy, norms
        )
        names = map(self._name, generator_of(model).trainable_variables)
        by_name = dict(zip(names, map(float, by_weight), strict=True))
        return by_state, last, by_name

    def _name(self, variable: Any) -> str:
        """The path without the model, whose name may differ between runs."""
        model = generator_of(self.model)
        return variable.path.partition(f"{model.name}/")[2] or variable.path

    def write(self, epoch: int, *seen: Any) -> None:
        by_state, last, by_weight = seen
        name = self._layer.name
        figure = _draw(by_state, last, f"{name}, epoch {epoch + 1}")
        self.writer.figure(f"credit_assignment/{name}", figure, epoch)
        for example in self.examples:
            length = int(last[example]) + 1
            labels = None
            if self.labels is not None:
                labels = [str(x) for x in self.labels[example]][:length]
            document = {
                "kind": "gradients",
                "layer": name,
                "example": example,
                "length": length,
                "labels": labels,
                "norms": [float(x) for x in by_state[example, :length]],
            }
            self.writer.json(
                f"credit/{name}/example_{example}/gradients",
                json.dumps(document),
                epoch,
            )
        for path, norm in by_weight.items():
            self.writer.scalar(f"gradient_norm/{path}", norm, epoch)


def _check_graph(model: keras.Model) -> None:
    """Checks that the model has a graph, to find what follows the layer."""
    if isinstance(model, keras.Sequential) and not model.built:
        return  # Its first batch builds it, with a graph of one output.
    if not getattr(model, "inputs", None):
        raise ValueError(
            "Expected a `Sequential` or a functional model. "
            f"Received: {described(model)}, built={model.built}"
        )


def _loss_of_output(model: keras.Model, output: Any) -> tuple[int, Any]:
    """The number of the chosen output, and its loss."""
    if isinstance(model, keras.Sequential):
        names = [model.name]
    else:
        names = list(model.output_names)
    if output is None and len(names) == 1:
        index = 0
    elif output in names:
        index = names.index(output)
    elif not isinstance(output, bool) and output in range(len(names)):
        index = output
    else:
        raise ValueError(
            f"Expected `output` to be one of the outputs {names}, or its "
            f"number. Received: output={output!r}, {described(model)}"
        )
    # Not the TensorFlow wrapper of it.
    given = dict(model.loss) if isinstance(model.loss, dict) else model.loss
    loss = given
    if isinstance(given, dict):
        loss = given.get(names[index])
    elif isinstance(given, (list, tuple)):
        loss = given[index] if index < len(given) else None
    if not isinstance(loss, (str, keras.losses.Loss)) and not callable(loss):
        raise ValueError(
            "Expected a model that was compiled with a loss for output "
            f"{names[index]!r}. Received: loss={given!r}"
        )
    return index, loss


def _candidates(model: keras.Model) -> list:
    generator = generator_of(model)
    return [x for x in generator.layers if is_recurrent(x)]


def _find_layer(model: keras.Model, layer: Any) -> Any:
    candidates = _candidates(model)
    if layer is not None:
        candidates = [x for x in candidates if layer in (x, x.name)]
    if len(candidates) == 1:
        return candidates[0]
    if layer is not None:
        expected = f"`layer={getattr(layer, 'name', layer)!r}` to be a"
    else:
        expected = "`layer`, as the model has several that are a"
    raise ValueError(
        f"Expected {expected} recurrent layer of the model. Received: "
        f"{described(generator_of(model))}"
    )


def _gradients(model: keras.Model, layer: Any, output: Any) -> Any:
    """A function of `(x, y)`: norms by state, last steps, norms by weight."""
    perturbed = PerturbedRNN(layer)
    generator = generator_of(model)
    if isinstance(generator, AutoregressiveRNN):
        losses = _losses_of_generator(generator, perturbed)
    else:
        losses = _losses_of_graph(model, layer, perturbed, output)

    def run(x, y):
        before = [(v, backend.read(v)) for v in model.variables]
        trainable = generator_of(model).trainable_variables

        def evaluate(added=None, weights=()):
            """The loss of each example or step, and the last steps."""
            known = [*before, *zip(trainable, weights, strict=bool(weights))]
            # Changes to the model, such as seeds, are discarded.
            with keras.StatelessScope(known):
                perturbed.added = added
                values = losses(x, y)
            perturbed.added = None
            return values, _last_steps(perturbed, layer.go_backwards)

        values, last = evaluate()
        one = ops.ones(())
        added = ops.zeros((*perturbed.size, perturbed.units), "float32")
        weights = [backend.read(v) for v in trainable]
        if len(values.shape) == 1:
            # One backward pass serves both.
            _, pull_back = backend.vjp(
                lambda added, *weights: ops.sum(evaluate(added, weights)[0]),
                added,
                *weights,
            )
            by_state, *by_weight = pull_back(one)
            by_weight = [g / values.shape[0] for g in by_weight]
        else:
            _, pull_back = backend.vjp(
                lambda added: ops.sum(_at_end(*evaluate(added))), added
            )
            (by_state,) = pull_back(one)
            _, pull_back = backend.vjp(
                lambda *weights: _mean(
                    evaluate(weights=weights)[0], perturbed.mask
                ),
                *weights,
            )
            by_weight = pull_back(one)
        if layer.go_backwards:
            by_state = ops.flip(by_state, axis=1)
        return (
            ops.norm(by_state, axis=-1),
            last,
            [ops.norm(_flat(gradient)) for gradient in by_weight],
        )

    return run


def _losses_of_generator(generator: Any, perturbed: PerturbedRNN) -> Any:
    def losses(x, y):
        del y
        net = generator.net.with_core(perturbed)
        sequences = net.read(x)
        parameters = net.run(sequences).parameters
        return -net.head.log_prob(parameters, sequences.values, sequences.mask)

    return losses


def _losses_of_graph(
    model: keras.Model, layer: Any, perturbed: PerturbedRNN, output: Any
) -> Any:
    index, loss = _loss_of_output(model, output)
    graph = keras.models.clone_model(
        keras.Model(model.inputs, model.outputs[index]),
        clone_function=lambda x: perturbed if x is layer else x,
    )
    loss = keras.losses.get(loss)
    values = loss.call if isinstance(loss, keras.losses.Loss) else loss

    def losses(x, y):
        (output,) = tree.flatten(graph(x, training=False))
        costs = values(y, ops.cast(output, "float32"))
        # One number per step, or per example.
        return ops.mean(costs, axis=tuple(range(2, len(costs.shape))))

    return losses


def _last_steps(perturbed: PerturbedRNN, go_backwards: bool):
    """The index of each example's last step that is not padding."""
    batch, time = perturbed.size
    mask = perturbed.mask
    if mask is None:
        return ops.full((batch,), time - 1, "int32")
    mask = ops.flip(mask, axis=1) if go_backwards else mask
    steps = ops.arange(time) * ops.cast(mask, "int32")
    return ops.cast(ops.max(steps, axis=1), "int32")


def _mean(values, mask):
    """The mean over steps `(batch, time)` that are not padding."""
    if mask is None or mask.shape != values.shape:
        return ops.mean(values)
    valid = ops.cast(mask, values.dtype)
    return ops.sum(ops.where(mask, values, 0.0)) / ops.sum(valid)


def _at_end(values, last):
    return ops.take_along_axis(values, last[:, None], axis=1)[:, 0]


def _flat(gradient):
    return ops.reshape(ops.cast(gradient, "float32"), (-1,))


def _draw(by_state: np.ndarray, last: np.ndarray, title: str) -> Any:
    """Plots each example and the mean over examples against the lag."""
    figure = new_figure("CreditAssignment", 7, 4)
    axis = figure.subplots()
    by_lag: np.ndarray = np.full(by_state.shape, np.nan)
    for row, (norms, end) in enumerate(zip(by_state, last, strict=True)):
        by_lag[row, : end + 1] = norms[end::-1]
    for norms in by_lag[:50]:
        axis.plot(_positive(norms), color="#dddddd", linewidth=0.6)
    counts = np.isfinite(by_lag).any(axis=0)
    mean: np.ndarray = np.full(by_lag.shape[1], np.nan)
    mean[counts] = np.nanmean(by_lag[:, counts], axis=0)
    axis.plot(_positive(mean), color="#41679b", linewidth=1.6)
    zeros = np.flatnonzero(mean == 0)
    if len(zeros):
        axis.plot(
            zeros, np.zeros(len(zeros)) + 0.02, "|", color="#b04a3a",
            transform=axis.get_xaxis_transform(), label="exactly 0",
        )  # fmt: skip
        axis.legend(frameon=False)
    if (mean > 0).any():
        axis.set_yscale("log")
    axis.set_xlabel("lag (steps before the last)")
    axis.set_ylabel("norm of the gradient")
    axis.set_title(title, loc="left", fontsize=10)
    return figure


def _positive(norms: np.ndarray) -> np.ndarray:
    return np.where(norms > 0, norms, np.nan)
