"""A picture of what each step of a sequence has read."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_seqcredit.checks import check_array
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_path
from keras_seqcredit.checks import check_sequence
from keras_seqcredit.optional_import import import_optional

INK = "#333333"
PALE = "#dddddd"
BAR = "#41679b"
# If there are more, only the heaviest are drawn.
MAX_ARCS = 1000
MAX_LABELS = 40


def plot_attention(
    slots: Any,
    weights: Any,
    k_att: int = 1,
    inputs: Any = None,
    labels: Sequence[str] | None = None,
    title: str | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """Plots which past states each step of one sequence has read.

    Takes the output of a layer with `return_attention=True`, for one example.
    From top to bottom, the picture shows

    - an arc from each step back to each step that it read (only the heaviest
      1,000 arcs if there are more),
    - the input, if given: a line, or one row per feature,
    - the step that is read against the step that reads, and next to it the
      total weight that each step received: where the credit went.

    The color is the weight. Time and memory are linear in the length of the
    sequence. Figures are created without `pyplot`, so that no global state of
    matplotlib changes.

    Args:
        slots: Integers, shape `(time, k_top)`, the slots of the memory that
            each step has read. Slot 0 is the initial state, slot `i` the state
            after step `i * k_att - 1`, and -1 stands for nothing.
        weights: Floats, shape `(time, k_top)`, the attention weights of the
            reads.
        k_att: Positive integer, the `k_att` of the layer. Defaults to `1`.
        inputs: Array of shape `(time,)` or `(time, features)`, the inputs of
            the steps. Defaults to `None`.
        labels: Sequence of `time` strings, names of the steps. Defaults to
            their numbers.
        title: String. Defaults to `None`.
        path: Where to save the picture, as PNG. Defaults to `None`, which does
            not save it.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if shapes do not match, or if a step has read a later one,
            as it appears if the layer started with a given memory.

    Example:

    ```python
    import numpy as np

    from keras_seqcredit import datasets
    from keras_seqcredit import layers
    from keras_seqcredit import utils

    x, _ = datasets.copying_memory(1, length=20, one_hot=True, seed=0)
    layer = layers.SABLSTM(16, k_top=3, return_attention=True)
    _, slots, weights = layer(x)
    figure = utils.plot_attention(
        slots[0], weights[0], inputs=x[0], path="attention.png"
    )
    ```
    """
    figure_module = import_optional(
        "matplotlib.figure", extra="examples", user="`plot_attention`"
    )
    slots, weights = _check_reads(slots, weights, k_att)
    num_steps = len(slots)
    inputs = _check_inputs(inputs, num_steps)
    check_sequence("labels", labels, num_steps, optional=True, noun="labels")
    check_path("path", path, optional=True)
    if not isinstance(title, (str, type(None))):
        raise ValueError(
            "Expected `title` to be a string or None. Received: "
            f"title={title!r}"
        )

    reader, column = np.nonzero((slots >= 0) & (weights > 0))
    read = slots[reader, column] * k_att - 1
    weight = weights[reader, column]
    order = np.argsort(weight, kind="stable")  # The heaviest on top.
    reader, read, weight = reader[order], read[order], weight[order]

    figure = figure_module.Figure(figsize=(9, 8.4), layout="constrained")
    strip = 0.0 if inputs is None else 0.7 if inputs.shape[1] == 1 else 1.0
    heights = [1.7, strip, 4.6] if strip else [1.7, 4.6]
    axes = figure.subplots(
        len(heights),
        2,
        sharex="col",
        gridspec_kw={"height_ratios": heights, "width_ratios": [5, 1]},
    )
    for axis in axes[:-1, 1]:
        axis.remove()
    for axis in [*axes[:, 0], axes[-1, 1]]:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=10, colors=INK)

    _draw_arcs(axes[0, 0], reader, read, weight, num_steps)
    if inputs is not None:
        _draw_inputs(axes[1, 0], inputs)
    points = _draw_reads(axes[-1, 0], reader, read, weight, num_steps)
    axes[-1, 1].sharey(axes[-1, 0])
    _draw_received(axes[-1, 1], read, weight, k_att, num_steps)
    _name_steps(axes[-1, 0], labels, num_steps, (read < 0).any())
    colorbar = figure.colorbar(points, ax=axes[-1, 1], aspect=30, fraction=0.3)
    colorbar.set_label("Weight of a read", fontsize=11, color=INK)
    colorbar.outline.set_visible(False)
    if title:
        figure.suptitle(title, fontsize=14, color=INK)
    if path is not None:
        figure.savefig(path, format="png", dpi=110)
    return figure


def _check_reads(
    slots: Any, weights: Any, k_att: int
) -> tuple[np.ndarray, np.ndarray]:
    slots = check_array("slots", slots)
    weights = check_array("weights", weights).astype("float64")
    if slots.ndim != 2 or slots.shape != weights.shape or not slots.size:
        raise ValueError(
            "Expected `slots` and `weights` of one example, both of shape "
            "(time, k_top). Received: "
            f"slots.shape={slots.shape}, weights.shape={weights.shape}"
        )
    if not np.issubdtype(slots.dtype, np.integer):
        raise ValueError(
            "Expected `slots` to be integers. Received: "
            f"slots.dtype={slots.dtype}"
        )
    check_integer("k_att", k_att)
    step = np.arange(len(slots))[:, None]
    late = np.argwhere(slots * k_att > step)
    if late.size:
        at = tuple(late[0])
        raise ValueError(
            "Expected each step to have read only states of earlier steps, in "
            "a layer with the same `k_att` that started without a memory. "
            f"Received: k_att={k_att}, and slot {slots[at]} read at step "
            f"{at[0]}"
        )
    return slots.astype("int64"), weights


def _check_inputs(inputs: Any, num_steps: int) -> np.ndarray | None:
    if inputs is None:
        return None
    inputs = check_array("inputs", inputs).astype("float64")
    if inputs.ndim not in (1, 2) or len(inputs) != num_steps:
        raise ValueError(
            "Expected `inputs` of shape (time,) or (time, features) with "
            f"time={num_steps}. Received: inputs.shape={inputs.shape}"
        )
    return inputs.reshape(num_steps, -1)


def _colormap() -> Any:
    """A colormap from pale, but visible on white, to dark."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps["YlGnBu"](np.linspace(0.2, 1, 256)))


def _draw_arcs(
    axis: Any,
    reader: np.ndarray,
    read: np.ndarray,
    weight: np.ndarray,
    num_steps: int,
) -> None:
    from matplotlib.collections import LineCollection

    reader, read, weight = (x[-MAX_ARCS:] for x in (reader, read, weight))
    angle = np.linspace(0, np.pi, 33)
    radius = (reader - read)[:, None] / 2
    x = (reader + read)[:, None] / 2 + radius * np.cos(angle)
    y = radius * np.sin(angle)
    colors = _colormap()(weight)
    # The more arcs, the thinner; the weaker, the paler.
    crowd = np.clip(len(weight) / 200, 1, 4)
    colors[:, 3] = np.clip((0.25 + weight) / np.sqrt(crowd), 0.1, 1)
    arcs = LineCollection(
        list(np.stack([x, y], axis=-1)),
        colors=colors,
        linewidths=(0.6 + 1.4 * weight) / np.sqrt(crowd),
    )
    axis.add_collection(arcs)
    height = radius.max() if radius.size else num_steps / 2
    axis.set_ylim(0, 1.05 * height)
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    axis.spines["bottom"].set_color(PALE)
    axis.tick_params(bottom=False, labelbottom=False)
    axis.set_ylabel("An arc for\neach read", fontsize=11, color=INK)


def _draw_inputs(axis: Any, inputs: np.ndarray) -> None:
    num_steps, num_features = inputs.shape
    if num_features == 1:
        axis.plot(inputs[:, 0], color=INK, linewidth=1.2)
        axis.margins(y=0.15)
    else:
        axis.imshow(
            inputs.T,
            aspect="auto",
            cmap="Greys",
            interpolation="nearest",
            extent=(-0.5, num_steps - 0.5, num_features - 0.5, -0.5),
        )
    axis.set_yticks([])
    axis.spines[["left", "bottom"]].set_visible(False)
    axis.tick_params(bottom=False, labelbottom=False)
    axis.set_ylabel("Input", fontsize=11, color=INK)


def _draw_reads(
    axis: Any,
    reader: np.ndarray,
    read: np.ndarray,
    weight: np.ndarray,
    num_steps: int,
) -> Any:
    # Next to the line are the states just before a step.
    axis.plot([0, num_steps - 1], [-1, num_steps - 2], color=PALE, linewidth=1)
    size = np.clip(330 / num_steps, 2, 12)
    points = axis.scatter(
        reader,
        read,
        c=weight,
        s=size**2,
        marker="s",
        linewidths=0,
        cmap=_colormap(),
        vmin=0,
        vmax=1,
        zorder=2,
    )
    axis.set_xlim(-1.8, num_steps - 0.2)
    axis.set_ylim(-1.8, num_steps - 0.2)
    axis.set_xlabel("Step that reads", fontsize=11, color=INK)
    axis.set_ylabel("Step that is read", fontsize=11, color=INK)
    return points


def _draw_received(
    axis: Any,
    read: np.ndarray,
    weight: np.ndarray,
    k_att: int,
    num_steps: int,
) -> None:
    num_slots = 1 + num_steps // k_att
    received = np.bincount((read + 1) // k_att, weight, minlength=num_slots)
    axis.fill_betweenx(
        np.arange(num_slots) * k_att - 1,
        received,
        step="mid",
        color=BAR,
        linewidth=0,
    )
    axis.set_xlim(0, 1.08 * received.max() or 1)
    axis.locator_params(axis="x", nbins=3)
    axis.tick_params(left=False, labelleft=False)
    axis.spines["left"].set_color(PALE)
    axis.set_xlabel("Weight received\nin all", fontsize=11, color=INK)


def _name_steps(
    axis: Any,
    labels: Sequence[str] | None,
    num_steps: int,
    start: bool,
) -> None:
    """Sets sparse ticks at steps, and one at the initial state if read."""
    from matplotlib.ticker import MaxNLocator

    if labels is None:
        locator = MaxNLocator(nbins=8, integer=True, steps=[1, 2, 5, 10])
        ticks = np.unique(
            np.asarray(locator.tick_values(0, num_steps - 1), dtype=int)
        )
        ticks = ticks[(ticks >= 0) & (ticks < num_steps)]
        names = [str(tick) for tick in ticks]
    else:
        ticks = np.arange(0, num_steps, -(-num_steps // MAX_LABELS))
        names = [str(labels[int(tick)]) for tick in ticks]
    long = labels is not None and max(map(len, names)) > 2
    axis.set_xticks(ticks, names, rotation=90 if long else 0)
    if start:
        # Room for the name of the initial state.
        kept = ticks + 1 >= 0.035 * num_steps
        ticks = np.array([-1, *ticks[kept]])
        names = ["start", *(n for n, k in zip(names, kept, strict=True) if k)]
    axis.set_yticks(ticks, names)
