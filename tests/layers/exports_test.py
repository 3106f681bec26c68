"""A masked, bidirectional model of two inputs runs wherever it is exported."""

import keras
import numpy as np
import pytest

from keras_seqcredit.layers import SABGRU
from keras_seqcredit.layers import SABLSTM

BATCH, TIME, FEATURES, UNITS, MORE = 3, 6, 2, 4, 5
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
on_tensorflow = pytest.mark.skipif(
    not ON_TENSORFLOW,
    reason="TensorFlow reads no top_k of JAX, and converts its own functions",
)


def make_model(make, shape=(None, FEATURES), batch_size=None):
    sequences = keras.Input(shape, batch_size=batch_size, name="sequences")
    facts = keras.Input((MORE,), batch_size=batch_size, name="facts")
    x = keras.layers.Masking()(sequences)
    x = keras.layers.Bidirectional(make())(x)
    x = keras.layers.Concatenate()([x, facts])
    model = keras.Model([sequences, facts], keras.layers.Dense(3)(x))
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(0.5 * random.normal(size=variable.shape))
    return model


def make_inputs():
    random = np.random.default_rng(1)
    sequences = random.normal(size=(BATCH, TIME, FEATURES))
    sequences[0, 4:] = 0.0
    sequences[1, 2] = 0.0
    facts = random.normal(size=(BATCH, MORE))
    return [sequences.astype("float32"), facts.astype("float32")]


# What attends, and what JAX can export, too.
LAYERS = {
    "attentive": lambda: SABLSTM(UNITS, k_top=2, k_trunc=2, memory_size=3),
    "without_attention": lambda: SABGRU(UNITS, k_top=0),
}


def without_xla(model):
    """Other runtimes have none."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Bidirectional):
            layer.forward_layer.jit_compile = False
            layer.backward_layer.jit_compile = False
    return model


@pytest.mark.parametrize("name", LAYERS)
def test_saved_model(name, tmp_path):
    tf = pytest.importorskip("tensorflow")
    if not ON_TENSORFLOW and name == "attentive":
        pytest.skip("TensorFlow does not read the top_k that JAX writes")
    model = make_model(LAYERS[name])
    model.export(tmp_path / "exported", verbose=False)
    served = tf.saved_model.load(tmp_path / "exported")
    for size in (BATCH, 1):
        part = [x[:size] for x in make_inputs()]
        expected = model.predict(part, verbose=0)
        np.testing.assert_allclose(
            served.serve(part), expected, rtol=1e-4, atol=1e-5
        )


@on_tensorflow
def test_onnx(tmp_path):
    pytest.importorskip("tf2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    model = without_xla(make_model(LAYERS["attentive"]))
    expected = model.predict(make_inputs(), verbose=0)
    path = str(tmp_path / "model.onnx")
    model.export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path)
    for size in (BATCH, 1):
        given = {
            x.name: array[:size]
            for x in session.get_inputs()
            for array in make_inputs()
            if array.ndim == len(x.shape)
        }
        (found,) = session.run(None, given)
        np.testing.assert_allclose(found, expected[:size], rtol=1e-4, atol=1e-5)


@on_tensorflow
def test_lite(tmp_path):
    """As far as Keras' own LSTM goes.

    Both are converted with operations of TensorFlow for the arrays of a loop.
    Where the interpreter has those, which that of TensorFlow's own package
    lacks, the model runs.
    """
    import tensorflow as tf

    found, inputs = {}, make_inputs()
    layers = {
        "keras": lambda: keras.layers.LSTM(UNITS),
        "attentive": LAYERS["attentive"],
    }
    for name, make in layers.items():
        model = without_xla(make_model(make, (TIME, FEATURES), BATCH))
        folder = str(tmp_path / name)
        model.export(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS,
            tf.lite.OpsSet.SELECT_TF_OPS,
        ]
        interpreter = tf.lite.Interpreter(model_content=converter.convert())
        try:
            interpreter.allocate_tensors()
        except RuntimeError as error:
            assert "Select TensorFlow op(s)" in str(error)
            found[name] = "lacks operations"
            continue
        for detail in interpreter.get_input_details():
            (value,) = (x for x in inputs if x.ndim == len(detail["shape"]))
            interpreter.set_tensor(detail["index"], value)
        interpreter.invoke()
        (output,) = interpreter.get_output_details()
        np.testing.assert_allclose(
            interpreter.get_tensor(output["index"]),
            model.predict(inputs, batch_size=BATCH, verbose=0),
            rtol=1e-4,
            atol=1e-5,
        )
        found[name] = "runs"
    assert found["attentive"] == found["keras"]
