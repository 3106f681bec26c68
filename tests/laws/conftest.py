"""Laws compile the same code over and over: keep it for the session."""

import keras
import pytest


@pytest.fixture(autouse=True, scope="session")
def compilation_cache(tmp_path_factory):
    if keras.backend.backend() == "jax":
        import jax

        folder = tmp_path_factory.getbasetemp() / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
