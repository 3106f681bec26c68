"""Checks of the arguments of a `StochasticRNN`."""

from keras_seqcredit.checks import check_choice
from keras_seqcredit.checks import check_flag
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_layer
from keras_seqcredit.checks import check_share
from keras_seqcredit.checks import check_tensors
from keras_seqcredit.checks import fits
from keras_seqcredit.layers.recurrent.drop_in_arguments import check_cell_type
from keras_seqcredit.recurrence.keras_cell import state_sizes
from keras_seqcredit.schedules import ConstantSchedule

CELLS = ("lstm", "gru")
# Those that have a backward network come first.
READS_BACKWARD = ("backward", "backward_and_target")
POSTERIORS = (*READS_BACKWARD, "target", "input")
SOURCES = ("auto", "posterior", "prior")
SAMPLES = ("random", "mean")
FLAGS = (
    "condition_auxiliary_on_state",
    "return_sequences",
    "return_state",
    "return_losses",
    "go_backwards",
    "stateful",
    "zero_output_for_mask",
)
# Arguments that are saved unchanged.
PLAIN = (
    *FLAGS, "units", "latent_dim", "hidden_units", "posterior", "auxiliary",
    "latent", "num_classes", "latent_to_cell", "k_trunc", "dropout",
    "recurrent_dropout", "sample_from", "sample", "seed", "jit_compile",
    "kl_balance", "unimix",
)  # fmt: skip


def check_arguments(layer) -> None:
    """Raises a ValueError for arguments that contradict each other."""
    check_choice("posterior", layer.posterior, POSTERIORS)
    check_choice("sample_from", layer.sample_from, SOURCES)
    check_choice("sample", layer.sample, SAMPLES)
    check_choice("auxiliary", layer.auxiliary, ("gaussian", "l2", None))
    check_choice("latent", layer.latent, ("gaussian", "categorical"))
    check_choice(
        "latent_to_cell", layer.latent_to_cell, ("input", "layer_norm")
    )
    check_choice("jit_compile", layer.jit_compile, ("auto", True, False))
    for name in FLAGS:
        check_flag(name, getattr(layer, name))
    for name in ("prior_network", "posterior_network", "auxiliary_network"):
        check_layer(name, getattr(layer, name), optional=True)
    _check_backward(layer.backward)
    _check_cell(layer)
    _check_dropout(layer)
    if layer.latent == "categorical":
        check_integer("num_classes", layer.num_classes, minimum=2)
    elif layer.num_classes is not None:
        raise ValueError(
            "`num_classes` is for `latent='categorical'`. Expected None. "
            "Received: "
            f"num_classes={layer.num_classes!r}, latent={layer.latent!r}"
        )
    elif layer.unimix:
        raise ValueError(
            "`unimix` is for `latent='categorical'`. Expected 0.0. Received: "
            f"unimix={layer.unimix!r}, latent={layer.latent!r}"
        )
    has_backward = layer.posterior in READS_BACKWARD
    if not has_backward and layer.backward is not None:
        raise ValueError(
            "A backward network is used with `posterior='backward'` and "
            "`'backward_and_target'` only. Expected `backward=None`. "
            f"Received: backward={layer.backward}, "
            f"posterior={layer.posterior!r}"
        )
    constant = isinstance(layer.auxiliary_weight, ConstantSchedule)
    weighted = not constant or layer.auxiliary_weight.value
    if weighted and (not has_backward or layer.auxiliary is None):
        raise ValueError(
            "The auxiliary cost predicts the backward network's state. "
            "Expected `posterior='backward'` or `'backward_and_target'` and an "
            "`auxiliary`, or `auxiliary_weight=0`. Received: "
            f"posterior={layer.posterior!r}, auxiliary={layer.auxiliary!r}, "
            f"auxiliary_weight={layer.auxiliary_weight}"
        )


def _check_backward(backward) -> None:
    check_layer("backward", backward, optional=True)
    names = {"return_sequences", "go_backwards"}
    if backward is not None and not names <= backward.get_config().keys():
        raise ValueError(
            "Expected `backward` to be a recurrent layer with `go_backwards` "
            "and `return_sequences`, such as `keras.layers.GRU(32)`. "
            f"Received: backward={backward}"
        )


def _check_cell(layer) -> None:
    if isinstance(layer.cell, str):
        check_choice("cell", layer.cell, CELLS)
    else:
        check_cell_type("cell", layer.cell)
        _check_units(layer)
    if layer.latent_to_cell == "layer_norm" and layer.cell != "lstm":
        raise ValueError(
            "`latent_to_cell='layer_norm'` uses its own LSTM cell. "
            f"Expected cell='lstm'. Received: cell={layer.cell!r}"
        )


def _check_units(layer) -> None:
    if state_sizes(layer.cell)[0] != layer.units:
        raise ValueError(
            "Expected a cell whose hidden state has "
            f"units={layer.units}. Received: cell={layer.cell} with "
            f"state_size={layer.cell.state_size}"
        )


def check_states(layer, states, sizes) -> None:
    """Raises a ValueError if an initial state does not match the cell."""
    check_tensors("initial_state", states)
    if len(states) != len(sizes) or not all(
        fits(x.shape, (None, size))
        for x, size in zip(states, sizes, strict=True)
    ):
        raise ValueError(
            f"`initial_state` of layer '{layer.name}' does not fit: expected "
            f"{len(sizes)} states of shape (batch, size) and sizes {sizes}. "
            f"Received: shapes {[tuple(x.shape) for x in states]}"
        )


def _check_dropout(layer) -> None:
    for name in ("dropout", "recurrent_dropout"):
        value = getattr(layer, name)
        check_share(name, value)
        if not value:
            continue
        if not isinstance(layer.cell, str):
            raise ValueError(
                f"`{name}` applies to the cells 'lstm' and 'gru'. Expected "
                f"{name}=0 with your own cell, which takes `{name}` itself. "
                f"Received: {name}={value}, cell={layer.cell}"
            )
        if layer.latent_to_cell == "layer_norm":
            raise ValueError(
                f"The cell of `latent_to_cell='layer_norm'` has no `{name}`. "
                f"Expected {name}=0, or latent_to_cell='input'. Received: "
                f"{name}={value}, latent_to_cell='layer_norm'"
            )


def check_samples(sample_from, sample) -> None:
    """Raises a ValueError for an unknown choice other than None."""
    check_choice("sample_from", sample_from, (*SOURCES, None))
    check_choice("sample", sample, (*SAMPLES, None))
