"""Base class of transition operators, densities over the next state."""

import math
from typing import Any

import keras
from keras import ops

from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_layer
from keras_seqcredit.checks import fits
from keras_seqcredit.distributions import tfd
from keras_seqcredit.saving import SerializesArguments
from keras_seqcredit.saving import public
from keras_seqcredit.sequence_ops import infinite_to_nan
from keras_seqcredit.types import Tensor


@public
class Transition(SerializesArguments):
    """Base class of transition operators `p_T(s' | s)` of a Markov chain.

    As a layer, an operator maps states to the parameters of the density of the
    next states. Its other methods score and draw next states. A state is a
    tensor of any shape; the first axis is the batch, and all others form one
    event.

    A subclass defines the number of network outputs per feature and implements
    `distribution` and `prior`, which return TensorFlow Probability densities,
    and `noise` and `draw`, which separate the random numbers from their use, so
    that a loop need not draw any.

    Args:
        network: A Keras layer or model from states to outputs that describe the
            next states. Both have the same shape, except for the number of
            features, the last axis. With `num_steps`, it is called on a list of
            states and integers `(batch,)`, the step of each state. With
            `num_classes`, the list ends with integers `(batch,)`, the class of
            each state.
        num_steps: Positive integer, the number of steps that the network
            distinguishes, or `None` for a network that sees only states.
            Defaults to `None`.
        num_classes: Positive integer, the number of classes of data that the
            network distinguishes, or `None` for a network that sees no classes.
            One extra class, `num_classes`, stands for states of unknown class.
            Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: States `(batch, ..., features)`.
        steps: Integers `(batch,)`, starting at 0, for a network that sees them.
            Defaults to 0.
        training: Boolean, passed to the layers of the network.
        classes: Integers `(batch,)` from 0 to `num_classes`, for a network that
            sees them. Defaults to `num_classes`, unknown.

    Returns:
        Parameters of each density, in float32, regardless of the dtype policy
        (float64 under a float64 policy).

    Raises:
        ValueError: if an argument is invalid, if the network cannot be called
            on states (and steps), or if its outputs do not have the expected
            shape.
        ImportError: if TensorFlow Probability is not installed.

    Example:

    ```python
    import keras
    import numpy as np
    from keras import ops

    from keras_seqcredit.distributions import tfd
    from keras_seqcredit.layers import Transition


    @keras.saving.register_keras_serializable("my_package")
    class LaplaceTransition(Transition):
        def distribution(self, parameters, temperature=1.0):
            scale = self.per_state(ops.sqrt(temperature), parameters)
            return self.event(tfd().Laplace(parameters, scale))

        def prior(self, mean, variance):
            return self.event(tfd().Laplace(mean, ops.sqrt(variance / 2)))

        def noise(self, shape, seed):
            normal = tfd().Laplace(0.0, 1.0)
            return normal.quantile(keras.random.uniform(shape, seed=seed))

        def draw(self, distribution, noise):
            scale = distribution.stddev() / 2**0.5
            return distribution.mean() + scale * noise


    transition = LaplaceTransition(keras.layers.Dense(2))
    states = np.zeros((5, 2), "float32")
    parameters = transition(states)
    noise = transition.noise((5, 2), seed=0)
    following = transition.sample(parameters, noise, temperature=2.0)
    assert transition.log_prob(parameters, following).shape == (5,)
    ```
    """

    _objects = ("network",)
    # See `GaussianTransition`. `noise_levels` are `NoiseLevels`, set by
    # `build`.
    level_temperatures: tuple[float, ...] | None = None
    noise_levels: Any = None

    def __init__(
        self,
        network: Any,
        num_steps: int | None = None,
        num_classes: int | None = None,
        **kwargs: Any,
    ) -> None:
        # States are not rounded to half precision: a chain with small steps
        # would not move.
        super().__init__(autocast=False, **kwargs)
        check_layer("network", network)
        tfd()  # A missing package raises here, not in a training step.
        self.network = network
        self.num_steps = check_integer("num_steps", num_steps, optional=True)
        self.num_classes = check_integer(
            "num_classes", num_classes, optional=True
        )

    def build(self, inputs_shape, steps_shape=None, classes_shape=None):
        del steps_shape, classes_shape
        expected = (*inputs_shape[:-1], self._outputs(inputs_shape))
        found = self._outputs_of_network(tuple(inputs_shape))
        if not fits(found, expected):
            raise ValueError(
                f"Expected a network whose outputs for states of shape "
                f"{tuple(inputs_shape)} have shape {expected}"
                f"{self._reason()}. Received: outputs of shape {found}"
            )

    def _outputs_of_network(self, shape):
        """The shape of the outputs, from a symbolic call, which also builds.

        For a layer that only defines `call`, there is no other way.
        """
        given: Any = keras.KerasTensor(shape, self.parameter_dtype)
        kind = f"states of shape {shape}, for an operator without `num_steps`"
        if self.num_steps is not None:
            given = [given, keras.KerasTensor(shape[:1], "int32")]
            kind = f"a list of states of shape {shape} and of their steps"
            kind += f", for num_steps={self.num_steps}"
        if self.num_classes is not None:
            given = [given] if self.num_steps is None else given
            given = [*given, keras.KerasTensor(shape[:1], "int32")]
            kind += f", and of classes, for num_classes={self.num_classes}"
        try:
            outputs = self.network(given)
        except Exception as error:
            raise ValueError(
                f"Expected a network that can be called on {kind}. "
                f"Received: {self.network}, where this failed with: {error}"
            ) from error
        shapes = [tuple(x.shape) for x in keras.tree.flatten(outputs)]
        return shapes[0] if len(shapes) == 1 else tuple(shapes)

    def call(self, inputs, steps=None, training=False, classes=None):
        del training  # Keras passes it on to the layers of the network.
        states = self._as_states(inputs)
        level = None
        given: Any = states
        if self.noise_levels is not None:
            level = self.noise_levels.at(states, steps)
            given = level.seen(states)
        if self.num_steps is not None:
            if steps is None:
                steps = ops.zeros((ops.shape(states)[0],), "int32")
            given = [given, ops.cast(steps, "int32")]
        if self.num_classes is not None:
            if classes is None:
                classes = ops.full(
                    (ops.shape(states)[0],), self.num_classes, "int32"
                )
            given = [given] if self.num_steps is None else given
            given = [*given, ops.cast(classes, "int32")]
        outputs = ops.cast(self.network(given), self.parameter_dtype)
        if level is not None:
            return level.mean_of(states, outputs)
        return self.parameters(states, outputs)

    @property
    def outputs_per_feature(self) -> int:
        """Number of network outputs for each feature of a state."""
        return 1

    def parameters(self, states: Tensor, outputs: Tensor) -> Tensor:
        """Computes parameters from states and the network's outputs."""
        del states
        return outputs

    def distribution(self, parameters: Tensor, temperature: Any = 1.0) -> Any:
        """Returns the density of the next state.

        Args:
            parameters: The output of the layer.
            temperature: Positive number or scalar tensor, or one number per
                state, `(batch,)`. Defaults to `1.0`.

        Returns:
            A TensorFlow Probability distribution with batch shape `(batch,)`.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not implement `distribution`."
        )

    def prior(self, mean: Tensor, variance: Tensor) -> Any:
        """Returns a density over states, of the same family, by its moments."""
        raise NotImplementedError(
            f"{type(self).__name__} does not implement `prior`."
        )

    def noise(self, shape: Any, seed: Any) -> Tensor:
        """Draws the random numbers for states of a given shape."""
        raise NotImplementedError(
            f"{type(self).__name__} does not implement `noise`."
        )

    def draw(self, distribution: Any, noise: Tensor) -> Tensor:
        """Computes states from a distribution and noise."""
        raise NotImplementedError(
            f"{type(self).__name__} does not implement `draw`."
        )

    def sample(
        self, parameters: Tensor, noise: Tensor, temperature: Any = 1.0
    ) -> Tensor:
        """Computes the next states from noise.

        Args:
            parameters: The output of the layer.
            noise: The output of `noise`, of the shape of the states.
            temperature: As in `distribution`. Defaults to `1.0`.

        Returns:
            Tensor of the shape of the states.
        """
        return self.draw(self.distribution(parameters, temperature), noise)

    def log_prob(
        self, parameters: Tensor, states: Tensor, temperature: Any = 1.0
    ) -> Tensor:
        """Computes the log-density of states under the operator, in nats.

        Args:
            parameters: The output of the layer.
            states: `(batch, ..., features)`, the states to score.
            temperature: As in `distribution`. Defaults to `1.0`.

        Returns:
            `(batch,)`; NaN where a state is impossible.
        """
        return self.score(self.distribution(parameters, temperature), states)

    def score(self, distribution: Any, states: Tensor) -> Tensor:
        """Log-density of states under a distribution, `(batch,)`."""
        states = self._as_states(states)
        possible = self.is_possible(states)
        if possible is None:
            return distribution.log_prob(states)
        log_prob = distribution.log_prob(ops.where(possible, states, 0.0))
        axes = tuple(range(1, len(states.shape)))
        return ops.where(ops.all(possible, axis=axes), log_prob, math.nan)

    def mean(self, parameters: Tensor, temperature: Any = 1.0) -> Tensor:
        """Returns the mean of the next state.

        Args:
            parameters: The output of the layer.
            temperature: As in `distribution`. Defaults to `1.0`.

        Returns:
            Tensor of the shape of the states.
        """
        return self.distribution(parameters, temperature).mean()

    def is_possible(self, states: Any) -> Any:
        """Where states, of any library, are possible; `None` if all are."""
        return None

    @property
    def smallest_variance(self) -> float | None:
        """Lower bound of the variances at temperature 1, or `None`."""
        return None

    @property
    def parameter_dtype(self) -> str:
        """Dtype of states and parameters, `"float32"` or `"float64"`."""
        is_double = self.compute_dtype == "float64"
        return "float64" if is_double else "float32"

    def event(self, distribution: Any) -> Any:
        """Turns all axes but the batch into one event."""
        axes = len(distribution.batch_shape) - 1
        return tfd().Independent(distribution, axes)

    def per_state(self, value: Any, parameters: Tensor) -> Tensor:
        """Reshapes a number, or one per state, to the axes of `parameters`."""
        value = ops.cast(value, self.parameter_dtype)
        if len(value.shape) == 0:
            return value
        axes = len(parameters.shape) - 1
        return ops.reshape(value, (-1,) + (1,) * axes)

    def compute_output_shape(
        self, inputs_shape, steps_shape=None, classes_shape=None
    ):
        del steps_shape, classes_shape
        return (*inputs_shape[:-1], self._outputs(inputs_shape))

    def compute_output_spec(
        self, inputs, steps=None, training=False, classes=None
    ):
        del steps, training, classes
        shape = self.compute_output_shape(inputs.shape)
        return keras.KerasTensor(shape, self.parameter_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "num_steps": self.num_steps,
            "num_classes": self.num_classes,
        }

    def _outputs(self, inputs_shape):
        return self.outputs_per_feature * inputs_shape[-1]

    def _reason(self) -> str:
        """The reason for the shape of the outputs, for an error."""
        return ""

    def _as_states(self, states):
        states = ops.cast(states, self.parameter_dtype)
        return infinite_to_nan(states)
