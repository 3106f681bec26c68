"""Base class of heads, which map hidden states to a density."""

import math
from typing import Any

import keras
from keras import ops

from keras_seqcredit.checks import check_array
from keras_seqcredit.checks import check_generator_or_seed
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_named
from keras_seqcredit.checks import check_number
from keras_seqcredit.checks import check_tensor
from keras_seqcredit.distributions import tfd
from keras_seqcredit.layers.heads.negative_log_likelihood import (
    NegativeLogLikelihood,
)
from keras_seqcredit.sequence_ops import infinite_to_nan
from keras_seqcredit.types import Tensor


class DistributionHead(keras.layers.Layer):
    """Base class of layers that map hidden states to a distribution.

    As a layer, a head is a linear map, optionally preceded by one hidden layer,
    from states to the parameters of a distribution over targets. Its other
    methods take these parameters. They use no weights, so they work on any
    parameters, inside and outside of a compiled function.

    A subclass defines the number of parameters of a step, builds the
    distribution from them, and adds its own arguments to `get_config`.
    Densities and samples come from TensorFlow Probability.

    Args:
        event_size: Positive integer, size of the last axis of targets, or
            `None` if targets have no such axis, as with classes.
        hidden_units: Positive integer, units of a hidden layer, or `None` for
            no hidden layer. Defaults to `None`.
        activation: Activation of the hidden layer. Defaults to `"relu"`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, ..., units)`, for example the states of a recurrent
            layer, `(batch, time, units)`.

    Returns:
        Parameters `(batch, ..., num_parameters)` in float32, regardless of the
        dtype policy (float64 under a float64 policy): densities need the
        precision. The input mask is passed through.

    Raises:
        ValueError: if an argument is invalid.
        ImportError: if TensorFlow Probability is not installed.

    Example:

    ```python
    import keras
    from keras import ops

    from keras_seqcredit.distributions import tfd
    from keras_seqcredit.layers import DistributionHead


    @keras.saving.register_keras_serializable("my_package")
    class LaplaceHead(DistributionHead):
        @property
        def num_parameters(self):
            return 2 * self.event_size

        def distribution(self, parameters, temperature=1.0):
            loc, scale = ops.split(parameters, 2, axis=-1)
            scale = temperature * ops.softplus(scale) + 1e-3
            return tfd().Independent(tfd().Laplace(loc, scale), 1)


    inputs = keras.Input((None, 16))
    head = LaplaceHead(3)
    states = keras.layers.GRU(8, return_sequences=True)(inputs)
    model = keras.Model(inputs, head(states))
    model.compile("adam", head.negative_log_likelihood)
    ```
    """

    # Whether targets may be integers, and whether samples are.
    takes_integers = False
    gives_integers = False

    def __init__(
        self,
        event_size: int | None,
        hidden_units: int | None = None,
        activation: Any = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        tfd()  # A missing package raises here, not in a training step.
        # Passed args.
        self.event_size: Any = check_integer(
            "event_size", event_size, optional=True
        )
        self.hidden_units = check_integer(
            "hidden_units", hidden_units, optional=True
        )
        self.activation = check_named("activation", activation)

        # Other args.
        self.supports_masking = True
        self.hidden: Any = None
        self.projection: Any = None

    @property
    def num_parameters(self) -> int:
        """Number of parameters of a step."""
        raise NotImplementedError(
            f"{type(self).__name__} does not implement `num_parameters`."
        )

    def build(self, input_shape):
        if self.hidden_units is not None:
            self.hidden = keras.layers.Dense(
                self.hidden_units,
                activation=self.activation,
                dtype=self.dtype_policy,
                name="hidden",
            )
            self.hidden.build(input_shape)
            input_shape = (*input_shape[:-1], self.hidden_units)
        self.projection = keras.layers.Dense(
            self.num_parameters, dtype=self.dtype_policy, name="projection"
        )
        self.projection.build(input_shape)

    def call(self, inputs):
        inputs = infinite_to_nan(ops.cast(inputs, self.compute_dtype))
        if self.hidden is not None:
            inputs = self.hidden(inputs)
        return ops.cast(self.projection(inputs), self.parameter_dtype)

    def distribution(self, parameters: Tensor, temperature: Any = 1.0) -> Any:
        """Returns the distribution over the targets of each step.

        Args:
            parameters: `(batch, ..., num_parameters)`, as returned by the
                layer.
            temperature: Positive number or scalar tensor. The density is raised
                to the power `1 / temperature`. Defaults to `1.0`.

        Returns:
            A TensorFlow Probability distribution with batch shape
            `(batch, ...)`.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not implement `distribution`."
        )

    def log_prob(
        self, parameters: Tensor, targets: Any, mask: Any = None
    ) -> Tensor:
        """Computes the log-probability of the targets of each step, in nats.

        Args:
            parameters: `(batch, ..., num_parameters)`.
            targets: `(batch, ..., event_size)`, or `(batch, ...)` without an
                event axis. A leading axis of size 1 is broadcast, here or in
                `parameters`.
            mask: Boolean `(batch, ...)`. Padded steps give 0, whatever they
                hold. Defaults to `None`.

        Returns:
            `(batch, ...)`, in the dtype of `parameters`, summed over the event.
            NaN where the distribution cannot take the target.

        Raises:
            ValueError: if the shape or dtype of the targets is wrong.
        """
        parameters = self._as_parameters(parameters)
        targets = self._as_targets(targets, parameters)
        if mask is not None:
            steps = tuple(parameters.shape[:-1])
            # Leading axes may be missing.
            axes = min(len(steps), len(getattr(mask, "shape", steps)))
            mask = check_tensor("mask", mask, steps[len(steps) - axes :])
            mask = ops.cast(mask, "bool")
            parameters = ops.where(mask[..., None], parameters, 0.0)
            steps = mask if self.event_size is None else mask[..., None]
            targets = ops.where(steps, targets, self._any_target())
        possible = self.is_possible(targets)
        if possible is not None:
            targets = ops.where(possible, targets, self._any_target())
            if self.event_size is not None:
                possible = ops.all(possible, axis=-1)
        distribution = self.distribution(parameters)
        log_prob = distribution.log_prob(ops.cast(targets, distribution.dtype))
        if possible is not None:
            log_prob = ops.where(possible, log_prob, math.nan)
        if mask is not None:
            log_prob = ops.where(mask, log_prob, 0.0)
        return log_prob

    def sample(
        self, parameters: Tensor, seed: Any = None, temperature: Any = 1.0
    ) -> Tensor:
        """Draws a target for each step.

        Args:
            parameters: `(batch, ..., num_parameters)`.
            seed: Integer, `keras.random.SeedGenerator` or `None`. A seed
                generator advances with each call; an integer gives the same
                draw every time. Inside a function compiled by JAX, it must not
                be `None`. Defaults to `None`.
            temperature: Positive number or scalar tensor; see `distribution`.
                Defaults to `1.0`.

        Returns:
            `(batch, ..., event_size)`, or `(batch, ...)` without an event axis.

        Raises:
            ValueError: if the temperature is a non-positive number.
        """
        if not ops.is_tensor(temperature):
            expected = "a positive number. `mode` is its limit of 0"
            check_number("temperature", temperature, expected)
        seed = check_generator_or_seed(seed)
        parameters = self._as_parameters(parameters)
        sample = self._draw(self.distribution(parameters, temperature), seed)
        return ops.cast(sample, self._target_dtype())

    @property
    def has_sample_gradient(self) -> bool:
        """Whether this head supports `sample_with_gradient`."""
        parameters = ops.zeros((1, self.num_parameters), self.parameter_dtype)
        kind = self._reparameterized(parameters).reparameterization_type
        return kind == tfd().FULLY_REPARAMETERIZED

    def sample_with_gradient(self, parameters: Tensor, seed: Any = None) -> Any:
        """Draws the same as `sample`, differentiable in the parameters.

        Distributions over numbers are reparameterized. Binary variables and
        classes take the gradient of their probabilities (straight-through).

        Args:
            parameters: `(batch, ..., num_parameters)`.
            seed: See `sample`. Defaults to `None`.

        Returns:
            As `sample`, but for a `CategoricalHead` one-hot vectors
            `(batch, ..., num_classes)`.

        Raises:
            ValueError: if samples of the head have no gradient.
        """
        self.check_sample_gradient()
        seed = check_generator_or_seed(seed)
        parameters = self._as_parameters(parameters)
        return self._draw(self._reparameterized(parameters), seed)

    def check_sample_gradient(self) -> None:
        """Raises an error if this head has no `sample_with_gradient`."""
        if not self.has_sample_gradient:
            raise ValueError(
                "Samples of this head have no gradient with respect to its "
                "parameters. Expected a `GaussianHead`, a "
                "`GaussianMixtureHead`, a `BernoulliHead`, a "
                "`CategoricalHead`, or your own head with a reparameterized "
                "distribution. Received: "
                f"head={self.name}, a {type(self).__name__}"
            )

    def _reparameterized(self, parameters):
        """The distribution, with differentiable samples where it can."""
        return self.distribution(parameters)

    def _draw(self, distribution, seed):
        # The raw key of a random generator, on either backend.
        key = keras.random.randint((2,), 0, 2**31 - 1, "int32", seed=seed)
        if keras.backend.backend() == "jax":
            key = ops.cast(key, "uint32")
        return distribution.sample(seed=key)

    def mean(self, parameters: Tensor) -> Tensor:
        """Returns the mean of the distribution of each step."""
        return self.distribution(self._as_parameters(parameters)).mean()

    def mode(self, parameters: Tensor) -> Tensor:
        """Returns the most likely target of each step."""
        mode = self.distribution(self._as_parameters(parameters)).mode()
        return ops.cast(mode, self._target_dtype())

    def is_possible(self, targets: Tensor) -> Tensor | None:
        """Where targets are possible, or `None` if all of them are."""
        return None

    @property
    def negative_log_likelihood(self) -> NegativeLogLikelihood:
        """The loss for compiling a model that ends in this head.

        A function of `(y_true, y_pred)`, targets and parameters, that returns
        `(batch, ...)` in nats. It is saved with the model. Keras excludes
        padded steps by a weight of 0, so they must hold possible targets, as
        with Keras' own losses. `log_prob` with a mask has no such restriction.
        """
        return NegativeLogLikelihood(self)

    @property
    def parameter_dtype(self) -> str:
        """Dtype of the parameters, `"float32"` or `"float64"`."""
        is_double = self.compute_dtype == "float64"
        return "float64" if is_double else "float32"

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.num_parameters)

    def compute_output_spec(self, inputs):
        shape = self.compute_output_shape(inputs.shape)
        return keras.KerasTensor(shape, self.parameter_dtype)

    def get_config(self):
        config = super().get_config()
        if self.event_size is not None:
            config["event_size"] = self.event_size
        config["hidden_units"] = self.hidden_units
        config["activation"] = keras.activations.serialize(self.activation)
        return config

    def _target_dtype(self):
        return "int32" if self.gives_integers else self.parameter_dtype

    def _any_target(self):
        """A value that is possible for every target."""
        return 0

    def _as_parameters(self, parameters):
        if not hasattr(parameters, "shape"):
            parameters = check_array("parameters", parameters)
        parameters = ops.convert_to_tensor(parameters)
        if tuple(parameters.shape[-1:]) != (self.num_parameters,):
            raise ValueError(
                f"Expected parameters of shape (..., {self.num_parameters}), "
                f"as {self.name} returns them. "
                f"Received: shape={tuple(parameters.shape)}"
            )
        return ops.cast(parameters, self.parameter_dtype)

    def _as_targets(self, targets, parameters):
        if not hasattr(targets, "shape"):
            targets = check_array("targets", targets)
        targets = ops.convert_to_tensor(targets)
        steps = tuple(parameters.shape[:-1])
        event = () if self.event_size is None else (self.event_size,)
        shape = tuple(targets.shape)
        if (
            len(shape) != len(steps + event)
            or shape[len(steps) :] != event
            or any(
                size != other
                and None not in (size, other)
                and size != 1 != other
                for size, other in zip(shape, steps, strict=False)
            )
        ):
            raise ValueError(
                f"Expected targets of shape {steps + event} for {self.name} "
                f"with parameters of shape {tuple(parameters.shape)}. "
                f"Received: shape={shape}"
            )
        dtype = keras.backend.standardize_dtype(targets.dtype)
        if not self.takes_integers and "float" not in dtype:
            raise ValueError(
                f"Expected targets of a float dtype for {self.name}, a "
                f"{type(self).__name__}. Received: dtype={dtype}"
            )
        return ops.cast(targets, self.parameter_dtype)


def check_head(head: Any) -> None:
    """A `DistributionHead`."""
    if not isinstance(head, DistributionHead):
        raise ValueError(
            "Expected `head` to be a `DistributionHead`, such as "
            f"`GaussianHead(event_size)`. Received: head={head!r}"
        )
