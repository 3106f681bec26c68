"""`import keras_seqcredit` imports nothing, and is enough to load a file."""

import os
import pathlib
import subprocess
import sys
import textwrap

import keras
import pytest

import keras_seqcredit
from keras_seqcredit import lazy_registration
from tests.public_names import SUBPACKAGES

TESTS = pathlib.Path(__file__).parent
SAVED = TESTS / "saved_models" / "before_read_into.keras"


def run(script: str, **variables: str) -> str:
    """What a fresh process prints."""
    paths = [str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            **variables,
        },
    ).stdout


def test_imports_neither_keras_nor_a_backend():
    run(
        """
        import sys
        import keras_seqcredit
        assert "layers" in dir(keras_seqcredit)
        heavy = {"keras", "jax", "tensorflow", "torch", "numpy"}
        assert not heavy & {name.partition(".")[0] for name in sys.modules}
        assert keras_seqcredit.__version__
        """
    )


def test_subpackages_are_attributes():
    run(
        """
        import keras_seqcredit
        layer = keras_seqcredit.layers.SABLSTM(2)
        assert keras_seqcredit.layers is __import__("sys").modules[
            "keras_seqcredit.layers"
        ]
        assert keras_seqcredit.schedules.LinearSchedule(0.0, 1.0, 9)
        """
    )
    assert {*SUBPACKAGES} <= {*keras_seqcredit.__all__}
    assert {*keras_seqcredit.__all__} <= {*dir(keras_seqcredit)}
    with pytest.raises(AttributeError, match="has no attribute 'layer'"):
        keras_seqcredit.layer  # noqa: B018


@pytest.mark.parametrize(
    "imports",
    [
        "import keras, keras_seqcredit",
        "import keras_seqcredit, keras",
        "import keras_seqcredit.datasets, keras",
        "import keras, keras_seqcredit.metrics",
    ],
)
def test_a_file_loads_after_one_import(imports):
    run(
        f"""
        {imports}
        model = keras.saving.load_model({str(SAVED)!r})
        print(model.layers[1])
        from keras_seqcredit import layers
        assert isinstance(model.layers[1], layers.SparseAttentiveRNN)
        """
    )


def test_keras_keeps_its_own_loader():
    run(
        """
        import sys
        import keras_seqcredit
        finder = sys.meta_path[0]
        import keras
        assert finder not in sys.meta_path
        assert keras.__loader__.get_data(keras.__file__)
        """
    )


def test_stand_ins_leave_classes_that_are_there(tmp_path):
    from keras_seqcredit import layers

    lazy_registration.register_stand_ins()
    classes = keras.saving.get_custom_objects()
    assert classes["keras_seqcredit>SABLSTM"] is layers.SABLSTM


def test_the_list_of_classes_is_whole():
    for subpackage in lazy_registration.SUBPACKAGES:
        getattr(keras_seqcredit, subpackage)
    prefix = "keras_seqcredit>"
    registered = {
        name.removeprefix(prefix): value
        for name, value in keras.saving.get_custom_objects().items()
        if name.startswith(prefix)
    }
    assert sorted(registered) == sorted(lazy_registration.CLASSES)
    for value in registered.values():
        assert not isinstance(value, lazy_registration.StandIn)
        module = value.__module__.split(".")
        assert module[1] in lazy_registration.SUBPACKAGES
