"""The networks that the examples of long dependencies compare.

All have the same units and the same head. They differ in how a step sees the
past, and in how far the gradient flows back step by step.
"""

import argparse

import keras

from keras_seqcredit import layers

NETS = ("sab", "truncated", "full", "dense", "self-attention")
# These back-propagate through every step.
FULL = ("full", "dense", "self-attention")


def positive(text: str) -> int:
    """Reads a positive integer."""
    if int(text) < 1:
        raise ValueError
    return int(text)


positive.__name__ = "positive integer"  # For argparse's messages.


def non_negative(text: str) -> float:
    """Reads a non-negative number."""
    if not float(text) >= 0:
        raise ValueError
    return float(text)


non_negative.__name__ = "non-negative number"


def add_arguments(parser: argparse.ArgumentParser, **defaults) -> None:
    """Adds the flags of a network; `defaults` are the example's own."""
    parser.add_argument(
        "--net",
        choices=NETS,
        help="sab: SABLSTM; truncated: the same without attention; full: LSTM "
        "under full back-propagation; dense: SABLSTM with a softmax over all "
        "slots, under full back-propagation; self-attention: LSTM, then "
        "causal attention to its states",
    )
    add_layer_arguments(parser, **{"net": "sab", **defaults})


def add_layer_arguments(parser: argparse.ArgumentParser, **defaults) -> None:
    """Adds the flags except `--net`, for examples that train several."""
    add = parser.add_argument
    add("--units", type=positive, help="units of the LSTM")
    add("--k-top", type=positive, help="slots read per step")
    add("--k-att", type=positive, help="remember every k-th state")
    add("--k-trunc", type=positive, help="steps between gradient cuts")
    add(
        "--attention",
        choices=("dot", "additive", "concat"),
        help="score of a remembered state",
    )
    add("--attention-units", type=positive, help="units of the score")
    add(
        "--memory-content",
        choices=("state", "provisional"),
        help="remember states after or before attention",
    )
    add(
        "--read-into",
        choices=("output", "mean", "state"),
        help="where a read goes; state is the paper's form",
    )
    add(
        "--kernel-scale",
        type=non_negative,
        help="limit of the input kernel's uniform initializer, in Glorot's",
    )
    add(
        "--attention-scale",
        type=non_negative,
        help="limit of the score weights' uniform initializer, in Glorot's "
        "(default: the layer's own)",
    )
    add("--dtype", help="dtype policy of the layer, as mixed_bfloat16")
    parser.set_defaults(
        **{
            "units": 64,
            "k_top": 5,
            "k_att": 1,
            "k_trunc": 5,
            "attention": "dot",
            "memory_content": "provisional",
            "read_into": "output",
            "kernel_scale": 3.0,
            **defaults,
        }
    )


def recurrent(
    arguments: argparse.Namespace,
    inputs: keras.KerasTensor,
    return_sequences: bool = True,
) -> keras.KerasTensor:
    """Applies the recurrent part of the network that the flags name."""
    kernel_initializer = glorot(arguments.kernel_scale)
    attention = {}
    if arguments.attention_scale:
        attention["attention_initializer"] = glorot(arguments.attention_scale)
    if arguments.net in ("full", "self-attention"):
        states = keras.layers.LSTM(
            arguments.units,
            kernel_initializer=kernel_initializer,
            return_sequences=return_sequences or arguments.net != "full",
            use_cudnn=False,
        )(inputs)
        if arguments.net == "full":
            return states
        read = keras.layers.MultiHeadAttention(1, arguments.units)(
            states, states, use_causal_mask=True
        )
        states = keras.layers.Concatenate()([states, read])
        return states if return_sequences else states[:, -1]
    return layers.SABLSTM(
        arguments.units,
        k_top={"sab": arguments.k_top, "truncated": 0, "dense": None}[
            arguments.net
        ],
        k_att=arguments.k_att,
        k_trunc=None if arguments.net in FULL else arguments.k_trunc,
        attention=arguments.attention,
        attention_units=arguments.attention_units,
        memory_content=arguments.memory_content,
        read_into=arguments.read_into,
        kernel_initializer=kernel_initializer,
        return_sequences=return_sequences,
        name="sab",
        dtype=arguments.dtype,
        **attention,
    )(inputs)


def glorot(times: float) -> keras.initializers.Initializer:
    """Glorot's uniform initializer, `times` as wide."""
    return keras.initializers.VarianceScaling(times**2, "fan_avg", "uniform")


def reader(model):
    """A model that returns the slots and weights of all reads of a network.

    None unless it selects slots: then its layer `sab` has a `k_top`.
    """
    layers_of = {layer.name: layer for layer in model.layers}
    layer = layers_of.get("sab")
    if layer is None or not layer.k_top:
        return None
    reading = layers.SABLSTM.from_config(
        {**layer.get_config(), "return_attention": True}
    )
    inputs = keras.Input((None, model.inputs[0].shape[-1]))
    outputs = reading(inputs)[1:]
    reading.set_weights(layer.get_weights())
    return keras.Model(inputs, outputs)
