"""Examples are run on one backend each: what they are made of is on both."""

import keras
import pytest


def only_on(backend):
    """Skips a test on other backends than `"jax"` or `"tensorflow"`."""
    return pytest.mark.skipif(
        keras.backend.backend() != backend,
        reason=f"this example is run on {backend}",
    )
