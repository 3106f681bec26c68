"""All uses of undocumented Keras features, one function each.

Keras may rename any of them in a release. `tests/keras_private_test.py` has a
test for each function that then fails, and one that checks that no other file
of the package has these names.
"""

import json
import pathlib
from typing import Any

import keras

from keras_seqcredit.types import Tensor


def flat_layers(layer: Any, include_self: bool = True) -> list:
    """Returns a layer and all layers inside it, at any depth.

    `keras.Model.layers` has the first level only, and a layer has no `layers`.
    """
    return list(layer._flatten_layers(include_self=include_self))


def own_trainable_variables(layer: Any) -> list:
    """The trainable variables of a layer, without those of layers inside it.

    `trainable_variables` has both. A frozen layer keeps its own in this list.
    """
    return layer._trainable_variables


def own_non_trainable_variables(layer: Any) -> list:
    """The other variables of a layer, without those of layers inside it.

    Unlike `non_trainable_variables`, the list has no states of seed generators
    and metrics.
    """
    return layer._non_trainable_variables


def own_seed_generators(layer: Any) -> list:
    """The seed generators of a layer, without those of layers inside it.

    Keras offers the variables that hold their states, not the generators.
    """
    return layer._seed_generators


def own_metrics(layer: Any) -> list:
    """The metrics of a layer, without those of layers inside it.

    Layers other than models have no public list of them.
    """
    return layer._metrics


def has_dropout_masks(cell: Any) -> bool:
    """Whether an RNN cell keeps dropout masks.

    The class that does so, `DropoutRNNCell`, is not exported.
    """
    return hasattr(cell, "get_dropout_mask")


def draw_dropout_masks(cell: Any, inputs: Tensor, state: Tensor) -> tuple:
    """Draws the two dropout masks of a cell, without storing them there.

    A loop needs them as constants: inside a loop, a cell would draw another
    mask for each step, and for the gradient.

    Args:
        cell: An RNN cell for which `has_dropout_masks`.
        inputs: Tensor `(batch, features)`, an input of a step.
        state: Tensor `(batch, units)`, a hidden state.

    Returns:
        The masks of inputs and states. Each is a tensor, a list of one per
        gate, or `None`.

    Raises:
        RuntimeError: if the cell keeps them where `set_dropout_masks` does not
            put them.
    """
    masks = (
        cell.get_dropout_mask(inputs),
        cell.get_recurrent_dropout_mask(state),
    )
    kept = (
        getattr(cell, "_dropout_mask", None),
        getattr(cell, "_recurrent_dropout_mask", None),
    )
    if any(a is not b for a, b in zip(masks, kept, strict=True)):
        raise RuntimeError(
            "The dropout masks of a cell are drawn once a sequence, before "
            "the loop over time. Expected the cell to keep them in "
            "`_dropout_mask` and `_recurrent_dropout_mask`, as "
            "`keras.layers.LSTMCell` does. Received: "
            f"cell={cell}, which keeps them elsewhere, with Keras "
            f"{keras.__version__}"
        )
    reset_dropout_masks(cell)
    return masks


def set_dropout_masks(cell: Any, mask: Any, recurrent_mask: Any) -> None:
    """Sets the masks that a cell uses until others are set.

    A cell takes no masks as arguments.
    """
    cell._dropout_mask = mask
    cell._recurrent_dropout_mask = recurrent_mask


def reset_dropout_masks(cell: Any) -> None:
    """Deletes the masks of a cell, as `keras.layers.RNN` does after a call.

    They would be tensors of an ended trace.
    """
    cell.reset_dropout_mask()
    cell.reset_recurrent_dropout_mask()


class SeedWithoutState(keras.random.SeedGenerator):
    """Base class of seeds without a variable.

    `keras.random` takes a `SeedGenerator` and only calls its `next`. The
    parent's constructor creates a variable, which a loop cannot.
    """

    def __init__(self) -> None:
        pass


def loss_tracker(model: keras.Model) -> keras.metrics.Mean:
    """The metric that reports a compiled model's loss as `loss`.

    Keras updates it in its own `train_step` and `test_step`. Steps that compute
    the loss elsewhere have no public way to do so.
    """
    return model._loss_tracker


def losses_of_call(model: keras.Model) -> list:
    """Losses that layers added in the call whose loss JAX is computing.

    There, a call has no side effects: Keras passes the losses on in this list,
    which a model that overrides `losses` must return.
    """
    return model._losses_override


def is_validation_of_fit(kwargs: dict[str, Any]) -> bool:
    """Whether `evaluate` was called by `fit`, from its keyword arguments.

    `fit` passes an extra argument, and data that it has seen before.
    """
    return bool(kwargs.get("_use_cached_eval_dataset"))


def symbolic_calls(layer: Any) -> list:
    """Arguments of the layer's calls in functional models, in order.

    Each has `args` and `kwargs`. Keras only exposes where a tensor came from.
    """
    return [node.arguments for node in layer._inbound_nodes]


def set_initial_epoch(model: keras.Model, epoch: int) -> None:
    """Makes `fit` start at another epoch; for `on_train_begin`.

    Keras' own `BackupAndRestore` does the same.
    """
    model._initial_epoch = epoch


def wrapped_function(metric: keras.metrics.MeanMetricWrapper) -> Any:
    """The function that a `MeanMetricWrapper` takes the mean of.

    Keeping it as our own attribute would save it twice.
    """
    return metric._fn


def set_direction(metric: keras.metrics.Metric, direction: str) -> None:
    """Sets whether a larger value of a metric is better: `"up"` or `"down"`.

    `EarlyStopping` and other callbacks with `mode="auto"` read it.
    """
    metric._direction = direction


def distribution_strategy(model: keras.Model) -> Any:
    """The `tf.distribute.Strategy` that a model was made under, or `None`.

    Only the TensorFlow trainer has this undocumented attribute.
    """
    return getattr(model, "distribute_strategy", None)


def backend_mesh(mesh: keras.distribution.DeviceMesh) -> Any:
    """The backend's mesh behind a mesh of `keras.distribution`."""
    return mesh.backend_mesh


def backed_up_epoch(folder: pathlib.Path) -> int | None:
    """The epoch at which `BackupAndRestore` would resume, or `None`.

    The callback does not expose it before `fit`.
    """
    try:
        path = folder / "training_metadata.json"
        return json.loads(path.read_text(encoding="utf-8"))["epoch"]
    except (OSError, ValueError):
        return None
