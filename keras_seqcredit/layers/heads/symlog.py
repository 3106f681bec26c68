"""Signed logarithms, for series of unknown scale."""

from typing import Any

import keras
from keras import ops

from keras_seqcredit.distributions.tfp import tfb
from keras_seqcredit.distributions.tfp import tfd
from keras_seqcredit.saving import public
from keras_seqcredit.types import Shape
from keras_seqcredit.types import Tensor


@public
class Symlog(keras.layers.Layer):
    """`sign(x) * log(1 + |x|)`, for inputs of unknown scale.

    Close to the identity near 0 and logarithmic far from it, so a network
    learns from thousands as well as from thousandths. Use it as the `embedding`
    of a model whose head has `symlog=True`, so that inputs and predictions are
    on the same scale.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Any shape.

    Returns:
        A tensor of the same shape as the inputs. The mask is passed through.

    Example:

    ```python
    import numpy as np

    from keras_seqcredit import layers
    from keras_seqcredit import models

    model = models.ZForcing(
        layers.StochasticRNN(16, latent_dim=4),
        layers.GaussianHead(1, symlog=True),
        embedding=layers.Symlog(),
    )
    model.compile("adam")
    sales = np.random.lognormal(5.0, 2.0, (32, 10, 1)).astype("float32")
    model.fit(sales, batch_size=16)
    ```

    References:
        - Hafner et al., "Mastering Diverse Domains through World Models",
          2023, arXiv:2301.04104.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, inputs_shape: Shape) -> None:
        del inputs_shape

    def call(self, inputs):
        return symlog(ops.cast(inputs, self.compute_dtype))

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        return inputs_shape


def symlog(x: Tensor) -> Tensor:
    """`sign(x) * log(1 + |x|)`."""
    return _odd(ops.log1p, x)


def symexp(x: Tensor) -> Tensor:
    """`sign(x) * (exp(|x|) - 1)`, the inverse of `symlog`."""
    return _odd(ops.expm1, x)


def _odd(function, x):
    # The gradient of `sign(x) * f(|x|)` would be 0 at 0; this one's is 1.
    below = x < 0
    zeros = ops.zeros_like(x)
    return ops.where(
        below,
        -function(ops.where(below, -x, zeros)),
        function(ops.where(below, zeros, x)),
    )


def symexp_of(distribution: Any) -> Any:
    """The distribution of `symexp(x)` over events of one axis.

    Its log-probabilities refer to the values themselves: the log-probabilities
    of `x`, corrected by the Jacobian.
    """
    bijector = tfb().Inline(
        forward_fn=symexp,
        inverse_fn=symlog,
        inverse_log_det_jacobian_fn=lambda y: -ops.log1p(ops.abs(y)),
        forward_min_event_ndims=0,
        name="symexp",
    )
    return tfd().TransformedDistribution(distribution, bijector)


def mean_of_symexp(mean: Tensor, scale: Tensor) -> Tensor:
    """The mean of `symexp(x)` for normal `x`.

    With `F` the normal distribution function and `r = mean / scale`,
    `exp(scale**2 / 2) * (exp(mean) F(scale + r) - exp(-mean) F(scale - r))
    - 2 F(r) + 1`.
    """
    ratio = mean / scale
    # Means beyond 1e34 soon become infinite; they must not become NaN.
    growth = ops.exp(ops.minimum(ops.square(scale) / 2, 80.0))
    size, ratio = ops.abs(mean), ops.abs(ratio)
    difference = ops.exp(size) * _below(scale + ratio)
    difference = difference - ops.exp(-size) * _below(scale - ratio)
    result = growth * difference - 2 * _below(ratio) + 1
    return ops.where(mean < 0, -result, result)


def peak_of_symexp(mean: Tensor, scale: Tensor) -> Tensor:
    """Where the density of `symexp(x)` is highest for normal `x`, in `x`."""
    # Of `-(x - mean)**2 / (2 scale**2) - |x|`.
    size = ops.maximum(ops.abs(mean) - ops.square(scale), 0.0)
    return ops.where(mean < 0, -size, size)


def _below(x):
    return 0.5 * (1 + ops.erf(x / 2**0.5))
