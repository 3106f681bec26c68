"""What every test shares: quiet backends and a fixed seed."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture(autouse=True, scope="session")
def fast_compilation(tmp_path_factory):
    """JAX compiles with less effort, and nothing twice."""
    if keras.backend.backend() == "jax":
        import jax

        folder = tmp_path_factory.getbasetemp() / "compiled"
        jax.config.update("jax_disable_most_optimizations", True)
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(0)
