"""A `.keras` file holds the model and its optimizer, in a new process too."""

import subprocess
import sys

import keras
import numpy as np

from tests.laws.running import QUICKLY
from tests.laws.running import fit_once
from tests.laws.running import model_with_head
from tests.laws.table import BATCH
from tests.laws.table import ROWS
from tests.laws.table import every_row
from tests.laws.table import make_inputs


@every_row
def test_round_trip_with_optimizer(row, tmp_path):
    model = model_with_head(row)
    fit_once(model, **QUICKLY)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")

    inputs = make_inputs(seed=1)
    np.testing.assert_array_equal(loaded(inputs), model(inputs))
    assert len(model.optimizer.variables) > 2
    assert int(loaded.optimizer.iterations) == 1
    for a, b in zip(
        loaded.optimizer.variables, model.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(a, b)

    # Training goes on as if it had not stopped.
    loaded.run_eagerly = model.run_eagerly
    targets = np.zeros(np.shape(model(inputs)), "float32")
    for one in (model, loaded):
        keras.utils.set_random_seed(1)
        for layer in one._flatten_layers():
            if hasattr(layer, "seed_generator"):
                layer.seed_generator.state.assign([1, 2])
        # As the first step was taken: a program more would be compiled.
        one.fit(inputs, targets, batch_size=BATCH, shuffle=False, verbose=0)
    for a, b in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(a, b)


LOAD = """
import pathlib, sys
import keras
import numpy as np
import keras_seqcredit.layers

folder = pathlib.Path(sys.argv[1])
inputs = np.load(folder / "inputs.npy")
for path in sorted(folder.glob("*.keras")):
    np.save(path.with_suffix(".npy"), keras.saving.load_model(path)(inputs))
"""


def test_loads_in_a_new_process(tmp_path):
    inputs = make_inputs()
    np.save(tmp_path / "inputs.npy", inputs)
    expected = {}
    for row in ROWS:
        model = model_with_head(row)
        model.save(tmp_path / f"{row.name}.keras")
        expected[row.name] = np.asarray(model(inputs))
    subprocess.run([sys.executable, "-c", LOAD, tmp_path], check=True)
    for name, outputs in expected.items():
        np.testing.assert_array_equal(
            np.load(tmp_path / f"{name}.npy"), outputs, err_msg=name
        )
