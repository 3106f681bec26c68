"""How far a reader has to walk: calls that lead from one file to another."""

import pathlib
import sys

import keras
import numpy as np
import pytest

import keras_seqcredit
from keras_seqcredit.layers import GaussianHead
from keras_seqcredit.models import AutoregressiveRNN
from keras_seqcredit.models import ProfessorForcing

PACKAGE = pathlib.Path(keras_seqcredit.__file__).parent
# Below these doors a reader need not look: a call through them counts as one
# from the file that knocked.
GROUND = (
    "backend",
    "checks.py",
    "distributions",
    "optional_import.py",
    "recurrence",
    "schedules.py",
    "seeds.py",
    "sequence_ops.py",
)
# Keras calls these, not we.
OF_KERAS = ("__setattr__", "states", "variables")


def file_above_ground(frame):
    """The frame's file in the package; None for others and for the ground."""
    path = pathlib.Path(frame.f_code.co_filename)
    if not path.is_relative_to(PACKAGE):
        return None
    path = path.relative_to(PACKAGE)
    of_keras = frame.f_code.co_name in OF_KERAS
    return None if of_keras or path.parts[0] in GROUND else path


def hops(function, *args):
    """Calls, by line and callee, from a file above ground into another."""
    found = {}

    def watch(frame, event, _):
        if event != "call" or file_above_ground(frame) is None:
            return
        caller = frame.f_back
        while caller is not None and file_above_ground(caller) is None:
            caller = caller.f_back
        if caller is None:
            return
        source, target = map(file_above_ground, (caller, frame))
        if source != target:
            key = source, caller.f_lineno, target, frame.f_code.co_qualname
            found[key] = None

    sys.setprofile(watch)
    try:
        function(*args)
    finally:
        sys.setprofile(None)
    return list(found)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="JAX traces a train step."
)
def test_a_step_of_professor_forcing_is_a_short_walk():
    model = ProfessorForcing(
        AutoregressiveRNN(keras.layers.GRUCell(4), head=GaussianHead(3))
    )
    model.compile("adam", run_eagerly=True)
    x = np.zeros((2, 3, 3), "float32")
    model.fit(x, batch_size=2, verbose=0)
    walk = hops(model.train_step, x)
    assert len(walk) <= 35, "\n".join(map(str, walk))
    # It sees the walk: into the network, the discriminator, and the optimizers.
    targets = {str(target) for _, _, target, _ in walk}
    assert {
        "layers/recurrent/behavior_discriminator.py",
        "models/autoregressive_net.py",
        "models/discriminator_game.py",
        "models/two_optimizers.py",
    } <= targets
