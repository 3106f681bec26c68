"""A trained layer runs in ONNX Runtime."""

import keras
import numpy as np
import pytest

from keras_seqcredit import layers

pytest.importorskip("tf2onnx")
onnxruntime = pytest.importorskip("onnxruntime")

FEATURES = 2


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="tf2onnx converts functions of TensorFlow",
)
@pytest.mark.parametrize(
    "layer",
    [
        lambda **kwargs: layers.SABLSTM(4, **kwargs),
        lambda **kwargs: layers.SABGRU(4, **kwargs),
        lambda **kwargs: layers.SparseAttentiveRNN(
            keras.layers.SimpleRNNCell(4), **kwargs
        ),
    ],
    ids=["lstm", "gru", "cell"],
)
def test_a_trained_layer_runs_in_onnx_runtime(tmp_path, layer):
    inputs = keras.Input((None, FEATURES))
    sab = layer(k_top=2, k_att=2, k_trunc=2, memory_size=3)
    outputs = keras.layers.Dense(3, activation="softmax")(sab(inputs))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(0.1), "mse")
    random = np.random.default_rng(0)
    x = random.normal(size=(8, 9, FEATURES)).astype("float32")
    model.fit(x, np.eye(3)[np.arange(8) % 3], epochs=2, verbose=0)

    sab.jit_compile = False
    path = str(tmp_path / "model.onnx")
    model.export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path)
    # Batch and time are open.
    for part in (x, x[:3, :5]):
        (found,) = session.run(None, {session.get_inputs()[0].name: part})
        expected = np.asarray(model(part))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
