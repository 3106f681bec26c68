"""The default networks of a `StochasticRNN`."""

from typing import Any

import keras

from keras_seqcredit.checks import output_shape
from keras_seqcredit.layers.recurrent.clipped_mlp import ClippedMLP
from keras_seqcredit.layers.recurrent.conditioned_lstm_cell import (
    ConditionedLSTMCell,
)
from keras_seqcredit.layers.recurrent.copied_weights import CopiedWeights
from keras_seqcredit.layers.recurrent.sab_lstm import SABLSTM
from keras_seqcredit.recurrence.side_effects import check_network


def make_cell(layer: Any) -> Any:
    """Returns the given cell, or creates one from its name."""
    if not isinstance(layer.cell, str):
        return layer.cell
    arguments = {"dtype": layer.dtype_policy, "name": "cell"}
    if layer.latent_to_cell == "layer_norm":
        return ConditionedLSTMCell(layer.units, layer.latents.size, **arguments)
    if layer.dropout or layer.recurrent_dropout:
        arguments |= {
            "dropout": layer.dropout,
            "recurrent_dropout": layer.recurrent_dropout,
            "seed": layer.seed,
        }
    kind = {"lstm": keras.layers.LSTMCell, "gru": keras.layers.GRUCell}
    return kind[layer.cell](layer.units, **arguments)


def make_backward(layer: Any) -> tuple[Any, CopiedWeights]:
    """The backward network and the weights that it will get."""
    # Without attention: an LSTM that trains faster than Keras' own.
    original = layer.backward or SABLSTM(
        layer.units, k_top=0, dtype=layer.dtype_policy
    )
    # A copy, as in `keras.layers.Bidirectional`. It starts from zero states and
    # holds its state at padding.
    config = original.get_config()
    for name in ("stateful", "zero_output_for_mask"):
        if name in config:
            config[name] = False
    config = {
        **config,
        "name": "backward",
        "go_backwards": True,
        "return_sequences": True,
        "return_state": False,
    }
    copy = original.__class__.from_config(config)
    return copy, CopiedWeights("backward", original)


def make_network(layer: Any, name: str) -> ClippedMLP:
    """A network that maps to parameters of the latents."""
    return ClippedMLP(
        layer.latents.parameters,
        layer.hidden_units or layer.units,
        dtype=layer.dtype_policy,
        name=name,
    )


def build_network(layer: Any, name: str, network: Any, features: int) -> None:
    """Builds a network that maps to parameters of the latents.

    Raises:
        ValueError: if it cannot run in a loop, or its outputs are not
            parameters.
    """
    outputs = output_shape(name, network, (None, features))[-1]
    check_network(name, network, features, layer.compute_dtype)
    if outputs != layer.latents.parameters:
        raise ValueError(
            f"Expected `{name}` to have {layer.latents.parameters} outputs, "
            f"for {layer.latent_dim} {layer.latent} latents. Received: "
            f"{outputs} outputs"
        )
