"""What takes long is run on one backend: what it is made of is on both."""

import keras
import pytest


def only_on(backend):
    """Skips a test on other backends than `"jax"` or `"tensorflow"`."""
    return pytest.mark.skipif(
        keras.backend.backend() != backend,
        reason=f"this is run on {backend}",
    )
