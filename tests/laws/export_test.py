"""An exported model runs where this package is not installed."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import tree

from tests.laws.running import build
from tests.laws.running import call
from tests.laws.table import FEATURES
from tests.laws.table import ROWS
from tests.laws.table import make_inputs

# Two lengths: the time of an exported model is open.
LENGTHS = (5, 8)

SERVE = """
import json, pathlib, sys
import numpy as np
import tensorflow as tf

folder = pathlib.Path(sys.argv[1])
for path in sorted(folder.glob("*.exported")):
    served = tf.saved_model.load(path)
    for time in json.loads(sys.argv[2]):
        outputs = served.serve(np.load(folder / f"inputs_{time}.npy"))
        arrays = [np.asarray(x) for x in tf.nest.flatten(outputs)]
        np.savez(folder / f"{path.stem}_{time}.npz", *arrays)
assert "keras_seqcredit" not in sys.modules
"""


@pytest.mark.skipif(
    keras.backend.backend() == "jax",
    reason="TensorFlow 2.21 cannot load the top_k that JAX 0.10 exports",
)
def test_serves_in_a_new_process(tmp_path):
    lengths = {time: make_inputs(2, time) for time in LENGTHS}
    for time, inputs in lengths.items():
        np.save(tmp_path / f"inputs_{time}.npy", inputs)
    expected = {}
    for row in ROWS:
        if not row.exported:
            continue
        layer = build(row)
        inputs = keras.Input((None, FEATURES))
        model = keras.Model(inputs, layer(inputs))
        model.export(tmp_path / f"{row.name}.exported", verbose=False)
        for time, inputs in lengths.items():
            expected[f"{row.name}_{time}"] = call(layer, inputs)
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "KERAS_BACKEND")
    }
    subprocess.run(
        [sys.executable, "-c", SERVE, tmp_path, json.dumps(LENGTHS)],
        check=True,
        cwd=tmp_path,
        env=environment,
    )
    for name, arrays in expected.items():
        served = np.load(tmp_path / f"{name}.npz")
        found = [served[f"arr_{i}"] for i in range(len(served.files))]
        for a, b in zip(found, tree.flatten(arrays), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=name)
