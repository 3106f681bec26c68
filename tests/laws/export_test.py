"""An exported model runs where this package is not installed."""

import json

import keras
import numpy as np
from keras import ops
from keras import tree

from keras_seqcredit import layers
from tests.laws.running import build_noisy
from tests.laws.running import call
from tests.laws.table import BATCH
from tests.laws.table import FEATURES
from tests.laws.table import ROWS
from tests.laws.table import make_inputs
from tests.served import run_without_package

ON_JAX = keras.backend.backend() == "jax"
# Two lengths: the time of an exported model is open. On JAX it is not where
# there are densities.
LENGTHS = (5,) if ON_JAX else (5, 8)

# Public layers that are no rows of the table.
OTHERS = {
    "auxiliary_state_loss": lambda x: layers.AuxiliaryStateLoss()(x, x),
    "behavior_discriminator": lambda x: layers.BehaviorDiscriminator(3)(x),
    "conditioned_lstm_cell": lambda x: keras.layers.RNN(
        layers.ConditionedLSTMCell(3, condition_units=1)
    )(x),
    "step_normalization": lambda x: layers.StepNormalization(2)(
        x[:, 0], ops.cast(x[:, 0, 0] > 0, "int32")
    ),
}

SERVE = """
served = tf.saved_model.load(folder / "exported")
for time in json.loads(sys.argv[2]):
    outputs = served.serve(np.load(folder / f"inputs_{time}.npy"))
    np.savez(folder / f"outputs_{time}.npz", **outputs)
"""


def test_serves_in_a_new_process(tmp_path):
    model = model_of_all()
    signature = None
    if ON_JAX:
        shape = (BATCH, *LENGTHS, FEATURES)
        signature = [keras.InputSpec(shape=shape, dtype="float32")]
    model.export(
        tmp_path / "exported", verbose=False, input_signature=signature
    )
    for time in LENGTHS:
        np.save(tmp_path / f"inputs_{time}.npy", make_inputs(time=time))
    run_without_package(SERVE, tmp_path, json.dumps(LENGTHS))
    # One after another, as they were served: noise goes on with each call.
    for time in LENGTHS:
        found = np.load(tmp_path / f"outputs_{time}.npz")
        names = sorted(found)
        assert names == sorted(model.output)
        for name, expected in zip(
            names, call(model, make_inputs(time=time)), strict=True
        ):
            np.testing.assert_allclose(
                found[name], expected, rtol=1e-4, atol=1e-4, err_msg=name
            )


def model_of_all():
    """A model with an output for each output of each layer."""
    x = keras.Input((None, FEATURES))
    outputs = {name: create(x) for name, create in OTHERS.items()}
    for row in ROWS:
        layer = build_noisy(row)
        # TensorFlow 2.21 cannot run the top_k that JAX 0.10 exports.
        if row.exported and not (ON_JAX and getattr(layer, "k_top", 0)):
            outputs[row.name] = layer(x)
    return keras.Model(
        x,
        {
            f"{name}_{number}": output
            for name, of_layer in outputs.items()
            for number, output in enumerate(tree.flatten(of_layer))
        },
    )
