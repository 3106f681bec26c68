"""Hidden states on data and in free runs, for TensorBoard's projector."""

import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seqcredit.callbacks.chosen_examples import as_arrays
from keras_seqcredit.callbacks.chosen_examples import num_examples
from keras_seqcredit.callbacks.pictures import check_image_shape
from keras_seqcredit.callbacks.pictures import new_figure
from keras_seqcredit.callbacks.projector_files import write_projector_files
from keras_seqcredit.callbacks.view import View
from keras_seqcredit.callbacks.view import generator_of
from keras_seqcredit.checks import check_choice
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_seed
from keras_seqcredit.checks import check_sequence
from keras_seqcredit.metrics import mean_discrepancy
from keras_seqcredit.models.autoregressive_rnn import AutoregressiveRNN
from keras_seqcredit.models.professor_forcing import ProfessorForcing
from keras_seqcredit.optional_import import import_optional

RUNS = ("data", "free")


class DynamicsProjector(View):
    """Projects hidden states on data and in free running side by side.

    For an `AutoregressiveRNN` or `ProfessorForcing`. After each epoch, the
    generator reads some sequences, and then as many of its own. The callback
    writes for TensorBoard

    - the states of both in the newest epoch, as points of the "Projector" tab,
      each with its run, example, step and class, and, with `image_shape`, a
      thumbnail of the pixels read or drawn so far;
    - an image `dynamics/states` of them in two dimensions, as an overview;
    - the scalar `dynamics/free_running_gap`, the maximum mean discrepancy
      between the two, 0 if they have the same distribution.

    Args:
        x: Sequences as in training; a few dozen.
        log_dir: TensorBoard's log directory.
        classes: Sequence with the class of each row of `x`, a string or number,
            or None. Defaults to `None`.
        image_shape: Tuple `(height, width)`, for sequences of the pixels of an
            image, one or more pixels per step, from 0 to 1. Defaults to `None`.
        projection: `"pca"`, the two principal components, or `"tsne"`, t-SNE
            by scikit-learn, for the image. Defaults to `"pca"`.
        max_points: Positive integer. If there are more states, this many are
            drawn at random. Defaults to `2000`.
        seed: Integer, seed of all random draws. Defaults to `0`.
        frequency: Positive integer, number of epochs between updates. Defaults
            to `1`.

    Padded steps are left out.

    Raises:
        ImportError: if matplotlib, TensorBoard or, for `"tsne"`, scikit-learn
            is not installed.
        ValueError: if an argument is invalid; at the start of training, if the
            model does not generate sequences.

    Example:

    ```python
    import keras
    import numpy as np

    from keras_seqcredit import callbacks
    from keras_seqcredit import layers
    from keras_seqcredit import models

    x = (np.random.rand(32, 16, 1) > 0.5).astype("float32")
    model = models.ProfessorForcing(
        models.AutoregressiveRNN(
            keras.layers.GRUCell(8), layers.BernoulliHead(1)
        )
    )
    model.compile("adam")
    view = callbacks.DynamicsProjector(x[:8], "logs", image_shape=(4, 4))
    model.fit(x, callbacks=[view])
    ```

    References:
        - Lamb et al., "Professor Forcing: A New Algorithm for Training
          Recurrent Networks", NeurIPS 2016, arXiv:1610.09038, figure 4.
    """

    folder = "dynamics"
    shows = "the states of an `AutoregressiveRNN` or a `ProfessorForcing`"

    def __init__(
        self,
        x: Any,
        log_dir: str | os.PathLike[str],
        classes: Sequence[Any] | None = None,
        image_shape: tuple[int, int] | None = None,
        projection: str = "pca",
        max_points: int = 2000,
        seed: int = 0,
        frequency: int = 1,
    ) -> None:
        import_optional("matplotlib", "examples", "`DynamicsProjector`")
        super().__init__(log_dir, frequency)
        self._x = as_arrays(x)
        number = num_examples(self._x)
        check_sequence("classes", classes, number, optional=True)
        if image_shape is not None:
            sequences = self._x
            if isinstance(sequences, dict):
                sequences = sequences["sequences"]
            check_image_shape(image_shape, sequences.shape[1:])
        check_choice("projection", projection, ("pca", "tsne"))
        if projection == "tsne":
            import_optional("sklearn", "examples", "`projection='tsne'`")
        self.classes = classes
        self.image_shape = image_shape
        self.projection = projection
        self.max_points = check_integer("max_points", max_points)
        self.seed = check_seed(seed, optional=False)

    @staticmethod
    def fits(model: keras.Model) -> bool:
        return isinstance(model, (AutoregressiveRNN, ProfessorForcing))

    def observe(self, epoch: int, logs: dict[str, Any]) -> tuple:
        function = _both_runs(generator_of(self.model))
        states, sequences, mask, gap = self.compute(function, self._x)
        points = np.argwhere(np.stack([mask, mask]))
        random = np.random.default_rng(self.seed)
        if len(points) > self.max_points:
            chosen = random.choice(len(points), self.max_points, replace=False)
            points = points[np.sort(chosen)]
        return states[tuple(points.T)], points, sequences, float(gap)

    def write(self, epoch: int, *seen: Any) -> None:
        states, points, sequences, gap = seen
        thumbnails = None
        if self.image_shape is not None:
            thumbnails = _drawn_so_far(sequences, points, self.image_shape)
        rows = [
            (
                RUNS[run],
                example,
                step,
                "" if self.classes is None else self.classes[example],
            )
            for run, example, step in points
        ]
        write_projector_files(
            self.log_dir,
            f"states after epoch {epoch + 1}",
            states,
            ("run", "example", "step", "class"),
            rows,
            thumbnails,
        )
        flat = self._flat(states)
        figure = _draw(flat, points, self.projection, epoch)
        self.writer.figure("dynamics/states", figure, epoch)
        self.writer.scalar("dynamics/free_running_gap", gap, epoch)

    def _flat(self, states: np.ndarray) -> np.ndarray:
        """`(points, 2)`."""
        if self.projection == "tsne" and len(states) > 3:
            manifold = import_optional(
                "sklearn.manifold", "examples", "`projection='tsne'`"
            )
            return manifold.TSNE(
                perplexity=min(30, (len(states) - 1) / 3),
                init="pca",
                random_state=self.seed,
            ).fit_transform(states)
        centered = states - states.mean(axis=0)
        _, _, axes = np.linalg.svd(centered, full_matrices=False)
        flat = centered @ axes[:2].T
        return np.pad(flat, [(0, 0), (0, 2 - flat.shape[1])])


def _both_runs(generator: Any) -> Any:
    """A function of `x`: states and sequences `(2, batch, time, ...)`."""

    def run(x):
        sequences = generator.net.read(x)
        runs = [sequences, generator.net.sample(sequences)]
        states = [generator.net.run(given).hidden for given in runs]
        mask = sequences.mask
        on_data, free = (ops.cast(s, "float32") for s in states)
        gap = mean_discrepancy(on_data, free, mask)
        if mask is None:
            mask = ops.ones(ops.shape(on_data)[:2], "bool")
        return (
            ops.stack([on_data, free]),
            ops.stack([given.values for given in runs]),
            mask,
            gap,
        )

    return run


def _drawn_so_far(
    sequences: np.ndarray, points: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Images `(points, height, width)` from 0 to 1; later pixels are gray.

    A state has read all steps before its own.
    """
    time = sequences.shape[2]
    known = np.arange(time) < points[:, 2:]
    pixels = sequences[points[:, 0], points[:, 1]].reshape(*known.shape, -1)
    drawn = np.where(known[..., None], pixels.astype("float32"), 0.5)
    return drawn.reshape(len(points), *shape)


def _draw(
    flat: np.ndarray, points: np.ndarray, projection: str, epoch: int
) -> Any:
    """Plots the two runs in two colors, and the steps of both."""
    figure = new_figure("DynamicsProjector", 9, 4)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    for run, (name, color) in enumerate(
        zip(RUNS, ("#41679b", "#c2613c"), strict=True)
    ):
        of_run = flat[points[:, 0] == run]
        left.plot(
            *of_run.T, ".", markersize=3, alpha=0.5, color=color, label=name
        )
    left.legend(frameon=False, markerscale=4)
    title = {"pca": "principal components", "tsne": "t-SNE"}[projection]
    left.set_title(f"{title}, epoch {epoch + 1}", loc="left", fontsize=10)
    dots = right.scatter(*flat.T, s=4, c=points[:, 2], cmap="viridis")
    figure.colorbar(dots, ax=right, label="step")
    return figure
