"""What every test shares: quiet backends, quick compilation, a fixed seed."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# JAX compiles with less effort, also in the processes that tests start. Not
# with a cache on disk: reading from it has crashed the process (JAX 0.10.2).
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# Op by op, each shape of each op is a program of its own: these halve the time
# that XLA takes to compile such a small one.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_use_fusion_emitters=false"
    " --xla_cpu_parallel_codegen_split_count=1",
)

import keras  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(0)
