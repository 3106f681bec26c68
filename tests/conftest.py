"""Setup for all tests: quiet backends, quick compilation, a fixed seed."""

import functools
import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# XLA compiles with less effort, also in the processes that tests start: op by
# op, each shape of each op is a separate program. JAX's cache on disk is not
# used: reading from it has crashed the process (JAX 0.10.2).
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0"
    " --xla_llvm_disable_expensive_passes=true"
    " --xla_cpu_use_fusion_emitters=false"
    " --xla_cpu_parallel_codegen_split_count=1"
    # For tests of several devices.
    " --xla_force_host_platform_device_count=8",
)

import keras  # noqa: E402
import pytest  # noqa: E402

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    # For tests of several devices; must precede any computation.
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * 2,
    )


# A worker takes whole files, since another would repeat what it has compiled or
# prepared. The longest come first, so that no worker ends alone.
LONGEST = (
    "two_processes_test.py",
    "docstring_examples_test.py",
    "on_gpu_test.py",
    "distribution_test.py",
    "exact_resume_test.py",
    "attention_map_test.py",
    "search_spaces_test.py",
    "parallel_search_test.py",
    "resuming_test.py",
)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session", autouse=True)
def frozen_modules():
    """Garbage is looked for in what tests make, not in what is imported."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def built_optimizers(request, monkeypatch):
    """Halves what TensorFlow traces: a step that builds is traced twice.

    Examples train as users do.
    """
    if keras.backend.backend() != "tensorflow" or "examples" in str(
        request.path
    ):
        return
    from keras_seqcredit.models.generative_model import build_for

    fit = keras.Model.fit

    @functools.wraps(fit)
    def build_and_fit(model, *args, **kwargs):
        build_for(model, None)
        return fit(model, *args, **kwargs)

    monkeypatch.setattr(keras.Model, "fit", build_and_fit)


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(0)
