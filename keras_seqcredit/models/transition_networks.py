"""Networks for transition operators, as ordinary Keras models."""

import math
from typing import Any

import keras

from keras_seqcredit.checks import check_choice
from keras_seqcredit.checks import check_flag
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_named
from keras_seqcredit.checks import check_shape
from keras_seqcredit.layers.transitions.step_normalization import (
    StepNormalization,
)

CONDITIONINGS = ("embedding", "normalization")
# States have this format, regardless of `keras.config.image_data_format`.
_CHANNELS_LAST = {"data_format": "channels_last"}


def transition_mlp(
    shape: int | tuple[int, ...],
    units: tuple[int, ...] = (256, 256),
    activation: Any = "silu",
    learned_scale: bool = True,
    num_steps: int | None = None,
    step_conditioning: str = "embedding",
    dtype: Any = None,
    name: str | None = None,
    residual: bool = True,
    num_classes: int | None = None,
) -> keras.Model:
    """Creates a multi-layer perceptron for a `Transition`.

    The network's output is added to the states and is zero before training, so
    the chain initially leaves states unchanged. A first step much smaller than
    the data is then easy to undo, which a network that computes states from
    scratch has to learn.

    Args:
        shape: Integer or tuple, the shape of a state without the batch.
        units: Tuple of integers, units of each hidden layer. Defaults to
            `(256, 256)`.
        activation: Activation of the hidden layers. Defaults to `"silu"`.
        learned_scale: Boolean, whether to use two outputs per feature, as
            `GaussianTransition(scale="learned")` needs. Defaults to `True`.
        num_steps: Positive integer, number of steps that the network
            distinguishes, or `None` for a network that sees only states. Pass
            the same number to `Transition`. Defaults to `None`.
        step_conditioning: `"embedding"`, a vector for each step that is added
            to hidden layers, or `"normalization"`, a `StepNormalization` of
            them. Defaults to `"embedding"`.
        dtype: Dtype or dtype policy of the layers. Defaults to `None`.
        name: String, name of the model. Defaults to `None`.
        residual: Boolean, whether to add the states to the network's output.
            `GaussianTransition` with `level_temperatures` and
            `BernoulliTransition` with `alpha` have their own paths for the
            states and need `False`. Defaults to `True`.
        num_classes: Positive integer, number of classes that the network
            distinguishes, or `None` for no classes. Each class has a vector,
            with one more for an unknown class. Pass the same number to
            `Transition`. Defaults to `None`.

    Returns:
        A `keras.Model` of states, or of a list of states, steps and classes.

    Raises:
        ValueError: if an argument is invalid.

    Example:

    ```python
    from keras_seqcredit.layers import GaussianTransition
    from keras_seqcredit.models import transition_mlp

    network = transition_mlp(2, units=(64, 64), num_steps=30)
    transition = GaussianTransition(network, num_steps=30)
    ```
    """
    shape = _check_shape(shape)
    units = check_shape("units", units)
    activation = check_named("activation", activation)
    check_flag("learned_scale", learned_scale)
    check_flag("residual", residual)
    condition = _Conditioning(num_steps, step_conditioning, num_classes, dtype)
    states = keras.Input(shape, name="states")
    x = keras.layers.Flatten(dtype=dtype, **_CHANNELS_LAST)(states)
    for size in units:
        x = keras.layers.Dense(size, dtype=dtype)(x)
        x = condition(x)
        x = keras.layers.Activation(activation, dtype=dtype)(x)

    def last(channels):
        outputs = (*shape[:-1], channels)
        dense = keras.layers.Dense(
            math.prod(outputs), kernel_initializer="zeros", dtype=dtype
        )
        return keras.layers.Reshape(outputs, dtype=dtype)(dense(x))

    outputs = _outputs(states, last, learned_scale, residual)
    return keras.Model(condition.inputs(states), outputs, name=name)


def transition_unet(
    shape: tuple[int, int, int],
    filters: tuple[int, ...] = (32, 64),
    activation: Any = "silu",
    learned_scale: bool = True,
    num_steps: int | None = None,
    step_conditioning: str = "embedding",
    dtype: Any = None,
    name: str | None = None,
    residual: bool = True,
    num_classes: int | None = None,
) -> keras.Model:
    """Creates a small U-Net for a `Transition` of images.

    There are two convolutions at each resolution on the way down and up, the
    first of which sees the step, with a shortcut between the two paths. Group
    normalization is used unless steps have their own normalization. The output
    is added to the images, as in `transition_mlp`.

    Args:
        shape: Tuple `(height, width, channels)` of an image.
        filters: Tuple of integers, multiples of 8, number of filters at each
            resolution. Height and width are halved from one resolution to the
            next. Defaults to `(32, 64)`.
        activation: See `transition_mlp`. Defaults to `"silu"`.
        learned_scale: See `transition_mlp`. Defaults to `True`.
        num_steps: See `transition_mlp`. Defaults to `None`.
        step_conditioning: See `transition_mlp`. Defaults to `"embedding"`.
        dtype: See `transition_mlp`. Defaults to `None`.
        name: See `transition_mlp`. Defaults to `None`.
        residual: See `transition_mlp`. Defaults to `True`.
        num_classes: See `transition_mlp`. Defaults to `None`.

    Returns:
        A `keras.Model` of images, or of a list of images, steps and classes.

    Raises:
        ValueError: if an argument is wrong, or if height and width cannot be
            halved once per additional resolution.

    Example:

    ```python
    from keras_seqcredit.layers import GaussianTransition
    from keras_seqcredit.models import transition_unet

    network = transition_unet((8, 8, 1), filters=(16, 32))
    transition = GaussianTransition(network)
    ```
    """
    sizes = _check_shape(shape)
    filters = check_shape("filters", filters)
    activation = check_named("activation", activation)
    check_flag("learned_scale", learned_scale)
    halvings = 2 ** (len(filters) - 1)
    if len(sizes) != 3 or sizes[0] % halvings or sizes[1] % halvings:
        raise ValueError(
            "Expected `shape` to be (height, width, channels), height and "
            f"width divisible by {halvings}, for {len(filters)} resolutions. "
            f"Received: shape={sizes}"
        )
    for size in filters:
        if size % 8:
            raise ValueError(
                "Expected `filters` to be multiples of 8. "
                f"Received: filters={tuple(filters)}"
            )
    check_flag("residual", residual)
    condition = _Conditioning(num_steps, step_conditioning, num_classes, dtype)
    normalizes = num_steps is not None and step_conditioning == "normalization"

    def convolve(x, size, condition=None):
        x = keras.layers.Conv2D(
            size, 3, padding="same", dtype=dtype, **_CHANNELS_LAST
        )(x)
        if condition is None or not normalizes:
            x = keras.layers.GroupNormalization(8, dtype=dtype)(x)
        if condition is not None:
            x = condition(x)
        return keras.layers.Activation(activation, dtype=dtype)(x)

    def block(x, size):
        shortcut = keras.layers.Conv2D(size, 1, dtype=dtype, **_CHANNELS_LAST)(
            x
        )
        x = convolve(x, size, condition)
        x = convolve(x, size)
        return keras.layers.Add(dtype=dtype)([x, shortcut])

    states = keras.Input(sizes, name="states")
    x = states
    kept = []
    for size in filters[:-1]:
        x = block(x, size)
        kept.append(x)
        x = keras.layers.AveragePooling2D(2, dtype=dtype, **_CHANNELS_LAST)(x)
    x = block(x, filters[-1])
    for size, before in zip(filters[-2::-1], kept[::-1], strict=True):
        x = keras.layers.UpSampling2D(dtype=dtype, **_CHANNELS_LAST)(x)
        x = keras.layers.Concatenate(dtype=dtype)([x, before])
        x = block(x, size)

    def last(channels):
        return keras.layers.Conv2D(
            channels,
            3,
            padding="same",
            kernel_initializer="zeros",
            dtype=dtype,
            **_CHANNELS_LAST,
        )(x)

    outputs = _outputs(states, last, learned_scale, residual)
    return keras.Model(condition.inputs(states), outputs, name=name)


def _outputs(states, last, learned_scale, residual):
    """The states plus the network's output; then scales."""
    channels = states.shape[-1]
    if not residual:
        return last((1 + learned_scale) * channels)
    if learned_scale:
        beside = [(0, 0)] * (len(states.shape) - 1)
        states = keras.ops.pad(states, [*beside, (0, channels)])
        channels = 2 * channels
    # Not in half precision, which cannot distinguish states that are one small
    # step apart near the data.
    return keras.layers.Add(dtype=states.dtype)([states, last(channels)])


class _Conditioning:
    """Adds step and class to a network that sees them."""

    def __init__(self, num_steps, kind, num_classes, dtype):
        check_choice("step_conditioning", kind, CONDITIONINGS)
        self.num_steps = check_integer("num_steps", num_steps, optional=True)
        self.kind = kind
        self.num_classes = check_integer(
            "num_classes", num_classes, optional=True
        )
        self.dtype = dtype
        if num_steps is not None:
            self.steps = keras.Input((), dtype="int32", name="steps")
        if num_classes is not None:
            self.classes = keras.Input((), dtype="int32", name="classes")

    def inputs(self, states):
        given = [states]
        if self.num_steps is not None:
            given.append(self.steps)
        if self.num_classes is not None:
            given.append(self.classes)
        return given if len(given) > 1 else states

    def __call__(self, x):
        if self.num_steps is not None:
            if self.kind == "normalization":
                layer = StepNormalization(self.num_steps, dtype=self.dtype)
                x = layer(x, self.steps)
            else:
                x = self._add_vector(x, self.steps, self.num_steps)
        if self.num_classes is not None:
            x = self._add_vector(x, self.classes, self.num_classes + 1)
        return x

    def _add_vector(self, x, numbers, count):
        """Adds a vector per number to all pixels."""
        features = x.shape[-1]
        row = keras.layers.Embedding(count, features, dtype=self.dtype)(numbers)
        axes = (1,) * (len(x.shape) - 2)
        row = keras.layers.Reshape((*axes, features), dtype=self.dtype)(row)
        return keras.layers.Add(dtype=self.dtype)([x, row])


def _check_shape(shape) -> tuple[int, ...]:
    is_size = not isinstance(shape, (tuple, list))
    expected = "a positive integer or a tuple of them"
    sizes = (shape,) if is_size else shape
    return check_shape("shape", sizes, expected=expected)
