"""Plots of a learned Markov chain during training."""

import os
from typing import Any

import keras
import numpy as np

from keras_seqcredit.callbacks.chosen_examples import as_arrays
from keras_seqcredit.callbacks.pictures import check_image_shape
from keras_seqcredit.callbacks.pictures import new_figure
from keras_seqcredit.callbacks.pictures import picture_of
from keras_seqcredit.callbacks.view import View
from keras_seqcredit.checks import check_integer
from keras_seqcredit.models.variational_walkback import VariationalWalkback
from keras_seqcredit.optional_import import import_optional


class WalkbackTrajectory(View):
    """Plots the chains of a `VariationalWalkback`, away from data and back.

    After each epoch, writes images for TensorBoard, where epochs count from 0:

    - `walkback/forward`: walks from given points, as in training;
    - `walkback/back`: chains from `p*` to samples of the model;
    - `walkback/field`, for data in the plane: where a step leads, without its
      noise, at temperature 1.

    Data in the plane are drawn as point clouds, and images and all other data
    as filmstrips, one chain per row.

    Args:
        x: Array `(n, ..., features)`, data to walk from: a few hundred points
            in the plane, a few images.
        log_dir: TensorBoard's log directory.
        image_shape: Tuple `(height, width)` or `(height, width, channels)` for
            images that are given as vectors. Defaults to `None`.
        frames: Positive integer, number of states of a chain to draw. Defaults
            to `8`.
        seed: Integer, seed of the walks: each update uses the same noise.
            Defaults to `0`.
        frequency: Positive integer, number of epochs between updates. Defaults
            to `1`.

    Raises:
        ImportError: if matplotlib or TensorBoard is not installed.
        ValueError: if an argument is invalid; at the start of training, if the
            model is not a `VariationalWalkback`.

    Example:

    ```python
    from keras_seqcredit import callbacks
    from keras_seqcredit import datasets
    from keras_seqcredit import layers
    from keras_seqcredit import models

    x = datasets.circle(256, seed=0)
    model = models.VariationalWalkback(
        layers.GaussianTransition(models.transition_mlp(2, units=(16, 16))),
        num_steps=4,
    )
    model.compile("adam")
    model.fit(x, callbacks=[callbacks.WalkbackTrajectory(x[:64], "logs")])
    ```
    """

    folder = "walkback"
    shows = "the chains of a `VariationalWalkback`"

    def __init__(
        self,
        x: Any,
        log_dir: str | os.PathLike[str],
        image_shape: tuple[int, ...] | None = None,
        frames: int = 8,
        seed: int = 0,
        frequency: int = 1,
    ) -> None:
        import_optional("matplotlib", "examples", "`WalkbackTrajectory`")
        super().__init__(log_dir, frequency)
        self._x = as_arrays(x)
        if image_shape is not None:
            check_image_shape(image_shape, self._x.shape[1:])
        self.image_shape = image_shape
        self.frames = check_integer("frames", frames)
        self.seed = seed

    @staticmethod
    def fits(model: keras.Model) -> bool:
        return isinstance(model, VariationalWalkback)

    def observe(self, epoch: int, logs: dict[str, Any]) -> tuple:
        model: Any = self.model
        forward = model.walk(self._x, return_trajectory=True, seed=self.seed)
        back = model.sample(
            len(self._x), return_trajectory=True, seed=self.seed
        )
        field = None
        if self._x.shape[1:] == (2,):
            field = _field(model, self._x)
        return forward, back, field

    def write(self, epoch: int, *seen: Any) -> None:
        forward, back, field = seen
        temperatures = [float(t) for t in self.model.temperatures]
        chains = {
            "forward": (forward, ["data", *map(_heat, temperatures)]),
            "back": (back, ["p*", *map(_heat, temperatures[::-1])]),
        }
        for name, (states, titles) in chains.items():
            shown = np.linspace(0, len(states) - 1, self.frames)
            shown = np.unique(np.round(shown).astype(int))
            figure = self._draw(states[shown], [titles[i] for i in shown])
            self.writer.figure(f"walkback/{name}", figure, epoch)
        if field is not None:
            figure = _draw_field(self._x, *field)
            self.writer.figure("walkback/field", figure, epoch)

    def _draw(self, states: np.ndarray, titles: list[str]) -> Any:
        if states.shape[2:] == (2,):
            return _draw_clouds(states, titles)
        shape = self.image_shape or states.shape[2:]
        if len(shape) < 2:
            shape = (1, shape[0])
        return _draw_films(states.reshape(*states.shape[:2], *shape), titles)


def _heat(temperature: float) -> str:
    return f"temperature {temperature:.3g}"


def _field(model: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of a grid around the data, and where a step leads from there."""
    low, high = x.min(axis=0), x.max(axis=0)
    margin = 0.25 * (high - low)
    ticks = np.linspace(low - margin, high + margin, 21)
    grid = np.stack(np.meshgrid(*ticks.T), -1).reshape(-1, 2)
    grid = grid.astype("float32")
    return grid, model.denoise(grid) - grid


def _draw_clouds(states: np.ndarray, titles: list[str]) -> Any:
    figure = new_figure("WalkbackTrajectory", 1.9 * len(states), 2.2)
    axes = figure.subplots(1, len(states), squeeze=False)[0]
    for axis, points, title in zip(axes, states, titles, strict=True):
        axis.plot(*points.T, ".", markersize=2, alpha=0.6, color="#41679b")
        axis.set_title(title, fontsize=8)
        axis.set_aspect("equal", adjustable="datalim")
        axis.tick_params(labelsize=6)
    return figure


def _draw_films(states: np.ndarray, titles: list[str]) -> Any:
    rows = min(states.shape[1], 8)
    figure = new_figure(
        "WalkbackTrajectory", 1.1 * len(states), 1.0 * rows + 0.3
    )
    axes = figure.subplots(rows, len(states), squeeze=False)
    # The brightest of the data and of samples, not of states in between.
    high = 255 if states.dtype == np.uint8 else 1
    for row, line in enumerate(axes):
        for axis, images in zip(line, states, strict=True):
            picture = picture_of(images[row], high)
            # A vector is drawn as a strip.
            aspect = "equal" if len(picture) > 1 else "auto"
            axis.imshow(picture, cmap="gray", vmin=0, vmax=1, aspect=aspect)
            axis.set_xticks([])
            axis.set_yticks([])
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title.replace("temperature ", "T "), fontsize=8)
    return figure


def _draw_field(x: np.ndarray, grid: np.ndarray, steps: np.ndarray) -> Any:
    figure = new_figure("WalkbackTrajectory", 5, 5)
    axis = figure.subplots()
    axis.plot(*x.T, ".", markersize=3, alpha=0.4, color="#cc8866")
    # Short arrows would not be visible next to those from far away.
    length = np.linalg.norm(steps, axis=-1, keepdims=True)
    arrows = steps / np.sqrt(length + 1e-9)
    axis.quiver(*grid.T, *arrows.T, angles="xy", width=0.003, color="#333333")
    axis.set_aspect("equal", adjustable="datalim")
    axis.set_title("a step without its noise", fontsize=10, loc="left")
    return figure
