"""Probability distributions for the current backend.

`tfd()` is `tfp.distributions` on TensorFlow and
`tfp.substrates.jax.distributions` on JAX: the same classes on the tensors of
either backend. Nothing is imported before the first call.
"""

from typing import Any

import keras

from keras_seqcredit.optional_import import import_optional

_MODULES = {
    "tensorflow": "tensorflow_probability",
    "jax": "tensorflow_probability.substrates.jax",
}


def tfd() -> Any:
    """Returns TensorFlow Probability's distributions for the current backend.

    Returns:
        The module `tfp.distributions` or `tfp.substrates.jax.distributions`.

    Raises:
        ImportError: if TensorFlow Probability is not installed, does not work
            with the installed backend, or has no flavor for it.

    Example:

    ```python
    from keras_seqcredit.distributions import tfd

    log_prob = tfd().Normal(loc=0.0, scale=2.0).log_prob(1.0)
    ```
    """
    return _tfp().distributions


def tfb() -> Any:
    """Returns TensorFlow Probability's bijectors, like `tfd`."""
    return _tfp().bijectors


def _tfp():
    backend = keras.backend.backend()
    if backend not in _MODULES:
        raise ImportError(
            "TensorFlow Probability runs on the TensorFlow and JAX backends "
            f"of Keras. Received: KERAS_BACKEND={backend!r}"
        )
    try:
        tfp = import_optional(_MODULES[backend], backend, "A distribution")
        # Its modules load on first access.
        _ = tfp.distributions.Distribution
    except AttributeError as error:
        raise ImportError(
            "The installed tensorflow_probability does not work with the "
            f"installed {backend}: {error}. Uninstall it and install "
            "`tfp-nightly` in its place."
        ) from error
    return tfp
