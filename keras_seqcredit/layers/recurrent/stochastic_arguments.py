"""What can be wrong with the arguments of a `StochasticRNN`."""

from keras_seqcredit.checks import check_choice
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_number
from keras_seqcredit.checks import check_steps
from keras_seqcredit.checks import fits
from keras_seqcredit.recurrence.keras_cell import state_sizes
from keras_seqcredit.schedules import ConstantSchedule

CELLS = ("lstm", "gru")
POSTERIORS = ("backward", "target", "input")
SOURCES = ("auto", "posterior", "prior")
SAMPLES = ("random", "mean")


def check_arguments(layer) -> None:
    """Raises a ValueError for arguments that make no sense together."""
    for name in ("units", "latent_dim"):
        check_integer(name, getattr(layer, name))
    for name in ("hidden_units", "k_trunc"):
        check_integer(name, getattr(layer, name), optional=True)
    check_choice("posterior", layer.posterior, POSTERIORS)
    check_choice("sample_from", layer.sample_from, SOURCES)
    check_choice("sample", layer.sample, SAMPLES)
    check_choice("auxiliary", layer.auxiliary, ("gaussian", "l2", None))
    check_choice("latent", layer.latent, ("gaussian", "categorical"))
    check_choice(
        "latent_to_cell", layer.latent_to_cell, ("input", "layer_norm")
    )
    check_choice("jit_compile", layer.jit_compile, ("auto", True, False))
    _check_cell(layer)
    _check_dropout(layer)
    if layer.latent == "categorical":
        check_integer("num_classes", layer.num_classes, minimum=2)
    elif layer.num_classes is not None:
        raise ValueError(
            "`num_classes` is for `latent='categorical'`. Received: "
            f"num_classes={layer.num_classes!r}, latent={layer.latent!r}"
        )
    if layer.posterior != "backward" and layer.backward is not None:
        raise ValueError(
            "A backward network is used with `posterior='backward'` only. "
            f"Received: backward={layer.backward}, "
            f"posterior={layer.posterior!r}"
        )
    constant = isinstance(layer.auxiliary_weight, ConstantSchedule)
    weighted = not constant or layer.auxiliary_weight.value
    if weighted and (layer.posterior != "backward" or layer.auxiliary is None):
        raise ValueError(
            "The auxiliary cost predicts the backward network's state. "
            "Expected "
            "`posterior='backward'` and an `auxiliary`, or "
            "`auxiliary_weight=0`. Received: "
            f"posterior={layer.posterior!r}, auxiliary={layer.auxiliary!r}, "
            f"auxiliary_weight={layer.auxiliary_weight}"
        )


def _check_cell(layer) -> None:
    if isinstance(layer.cell, str):
        check_choice("cell", layer.cell, CELLS)
    elif state_sizes(layer.cell)[0] != layer.units:
        raise ValueError(
            "Expected a cell whose hidden state has "
            f"units={layer.units}. Received: cell={layer.cell} with "
            f"state_size={layer.cell.state_size}"
        )
    if layer.latent_to_cell == "layer_norm" and layer.cell != "lstm":
        raise ValueError(
            "`latent_to_cell='layer_norm'` brings an LSTM cell of its own. "
            f"Expected cell='lstm'. Received: cell={layer.cell!r}"
        )


def check_states(layer, states, sizes) -> None:
    """Raises a ValueError for an initial state that is not the cell's."""
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
        check_number(
            name, value, "a number in [0, 1)", lambda rate: 0 <= rate < 1
        )
        if not value:
            continue
        if not isinstance(layer.cell, str):
            raise ValueError(
                f"`{name}` is of the cells 'lstm' and 'gru'. Expected "
                f"{name}=0 beside a cell of your own, which takes `{name}` "
                f"itself. Received: {name}={value}, cell={layer.cell}"
            )
        if layer.latent_to_cell == "layer_norm":
            raise ValueError(
                f"The cell of `latent_to_cell='layer_norm'` has no `{name}`. "
                f"Expected {name}=0, or latent_to_cell='input'. Received: "
                f"{name}={value}, latent_to_cell='layer_norm'"
            )


def check_samples(sample_from, sample) -> None:
    """Raises a ValueError for a choice, other than None, that there is not."""
    check_choice("sample_from", sample_from, (*SOURCES, None))
    check_choice("sample", sample, (*SAMPLES, None))


def check_targets(layer, sequences, targets, mask) -> None:
    """Raises a ValueError for call arguments that do not fit the sequences."""
    if len(sequences.shape) != 3:
        raise ValueError(
            f"Layer '{layer.name}' expects inputs of shape (batch, time, "
            f"features). Received: shape {tuple(sequences.shape)}"
        )
    check_steps(layer.name, sequences.shape)
    if targets is not None and (
        len(targets.shape) != 3
        or not fits(targets.shape[:2], sequences.shape[:2])
    ):
        raise ValueError(
            f"`targets` of layer '{layer.name}' need one step for each step of "
            f"the input: expected shape {(*sequences.shape[:2], 'features')}. "
            f"Received: shape {tuple(targets.shape)}"
        )
    if mask is not None and not fits(mask.shape, sequences.shape[:2]):
        raise ValueError(
            f"`mask` of layer '{layer.name}' does not fit its input. Expected "
            f"shape (batch, time)={tuple(sequences.shape[:2])}. Received: "
            f"mask.shape={tuple(mask.shape)}"
        )
