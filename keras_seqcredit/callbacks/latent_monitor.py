"""Shows what latent variables encode and whether they collapse."""

import os
import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.callbacks.chosen_examples import as_arrays
from keras_seqcredit.callbacks.chosen_examples import num_examples
from keras_seqcredit.callbacks.pictures import new_figure
from keras_seqcredit.callbacks.view import View
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_non_negative
from keras_seqcredit.metrics import ActiveUnits
from keras_seqcredit.models.z_forcing import ZForcing
from keras_seqcredit.optional_import import import_optional


class LatentMonitor(View):
    """Logs what the latents of a `ZForcing` model encode, step by step.

    After each epoch, the callback evaluates the posterior of some examples and
    writes for TensorBoard, where epochs count from 0:

    - image `latents/kl`: its divergence from the prior by step and by
      dimension, in nats;
    - scalars `latents/kl_per_step`, `latents/active_units`, and
      `latents/mutual_information`: nats per step that a latent contains about
      which example it belongs to. With `n` examples, it is at most `log(n)`, so
      pass as many as time allows.

    A collapsed posterior, which carries no information, is reported as a
    warning and as text `latents/collapse`.

    Args:
        x: Sequences as in training, but held out from it: at least two.
        log_dir: TensorBoard's log directory.
        threshold: Non-negative float, in nats per step. Below it, or without an
            active unit, the posterior has collapsed. Defaults to `0.01`.
        patience: Positive integer, number of consecutive collapsed updates
            before a warning: at the start of training, latents carry little
            information. Defaults to `2`.
        frequency: Positive integer, number of epochs between updates. Defaults
            to `1`.

    Raises:
        ImportError: if matplotlib or TensorBoard is not installed.
        ValueError: if an argument is invalid; at the start of training, if the
            model is not a `ZForcing`.

    Example:

    ```python
    import numpy as np

    from keras_seqcredit import callbacks
    from keras_seqcredit import layers
    from keras_seqcredit import models

    x = np.random.randn(32, 10, 3).astype("float32")
    model = models.ZForcing(
        layers.StochasticRNN(16, latent_dim=4), layers.GaussianHead(3)
    )
    model.compile("adam")
    model.fit(x, callbacks=[callbacks.LatentMonitor(x[:8], "logs")])
    ```

    References:
        - Hoffman and Johnson, "ELBO surgery", workshop at NIPS 2016: the
          mutual information of an index and a latent.
        - Burda et al., "Importance Weighted Autoencoders", ICLR 2016,
          arXiv:1509.00519, section 5.2: active units.
    """

    folder = "latents"
    shows = "the latents of a `ZForcing` model"

    def __init__(
        self,
        x: Any,
        log_dir: str | os.PathLike[str],
        threshold: float = 0.01,
        patience: int = 2,
        frequency: int = 1,
    ) -> None:
        import_optional("matplotlib", "examples", "`LatentMonitor`")
        super().__init__(log_dir, frequency)
        self._x = as_arrays(x)
        if num_examples(self._x) < 2:
            raise ValueError(
                "The information of latents shows only between examples. "
                "Expected `x` to have at least 2 rows. Received: 1 row"
            )
        self.threshold = check_non_negative("threshold", threshold)
        self.patience = check_integer("patience", patience)
        self._collapsed = 0  # Consecutive updates.

    @staticmethod
    def fits(model: keras.Model) -> bool:
        return isinstance(model, ZForcing)

    def observe(self, epoch: int, logs: dict[str, Any]) -> tuple:
        figures = self.look()
        per_step, active = figures["kl_per_step"], figures.get("active_units")
        if per_step < self.threshold or active == 0:
            self._collapsed += 1
        else:
            self._collapsed = 0
        message = None
        if self._collapsed == self.patience:
            units = "" if active is None else f", {active:.0f} active units"
            message = (
                f"The posterior has collapsed at epoch {epoch + 1}: its "
                f"latents hold {per_step:.3g} nats a step{units}. Raise "
                "`auxiliary_weight`, raise `kl_weight` more slowly, or give "
                "`free_bits`."
            )
            warnings.warn(message, stacklevel=2)
        return figures, message

    def look(self) -> dict[str, Any]:
        """Returns what the latents encode, with the current weights.

        Returns:
            Dictionary of `kl`, a NumPy array `(time, latent_dim)`, the mean
            over examples in nats; `kl_per_step`; `mutual_information`; and, for
            Gaussian latents, `active_units`.
        """
        function = _posterior(self.model)
        kl, mask, information, shift = self.compute(function, self._x)
        steps = max(mask.sum(), 1.0)
        by_step = kl.sum(axis=0) / np.maximum(mask.sum(axis=0), 1)[:, None]
        result = {
            "kl": by_step,
            "kl_per_step": float(kl.sum() / steps),
            "mutual_information": float(information.sum() / steps),
        }
        if shift.size:
            active = ActiveUnits(shift.shape[-1])
            active.update_state(shift, mask)
            result["active_units"] = float(active.result())
        return result

    def write(self, epoch: int, *seen: Any) -> None:
        figures, message = seen
        for name, value in figures.items():
            if name != "kl":
                self.writer.scalar(f"latents/{name}", value, epoch)
        figure = _draw(figures["kl"], f"epoch {epoch + 1}")
        self.writer.figure("latents/kl", figure, epoch)
        if message is not None:
            self.writer.text("latents/collapse", message, epoch)


def _posterior(model: Any) -> Any:
    """A function of `x` that returns all that `look` needs."""
    latents = model.stochastic_rnn.latents

    def run(x):
        sequences = model.read(x)
        outputs, _ = model.infer(sequences)
        valid = ops.ones(ops.shape(sequences.values)[:2], "float32")
        if sequences.mask is not None:
            valid = ops.cast(sequences.mask, "float32")
        shift = ops.zeros((0,), "float32")
        if model.stochastic_rnn.latent == "gaussian":
            shift = latents.shift(outputs.posterior, outputs.prior)
        information = _information(latents, outputs, valid)
        return outputs.kl, valid, information, shift

    return run


def _information(latents, outputs, valid):
    """Information of each latent about its row, in nats, `(batch, time)`.

    Compares its density under its own posterior with the mean density under the
    posteriors of all rows whose sequence has not ended.
    """

    def of_row(_, parameters):
        density = latents.log_prob(parameters[None], outputs.latents)
        return _, density

    # Row by row: all pairs at once would not fit into memory.
    _, densities = backend.scan(
        of_row, (), outputs.posterior, outputs.posterior.shape[0]
    )
    own = latents.log_prob(outputs.posterior, outputs.latents)
    densities = ops.where(valid[:, None] > 0, densities, -1e30)
    number = ops.maximum(ops.sum(valid, axis=0), 1.0)
    mean = ops.logsumexp(densities, axis=0) - ops.log(number)
    return ops.where(valid > 0, own - mean, 0.0)


def _draw(kl: np.ndarray, title: str) -> Any:
    """Plots the divergence by step and dimension, and its sums along both."""
    figure = new_figure("LatentMonitor", 8, 4.4)
    axes = figure.subplots(
        2,
        2,
        sharex="col",
        sharey="row",
        gridspec_kw={"width_ratios": [5, 1], "height_ratios": [1, 2.4]},
    )
    (top, corner), (middle, side) = axes
    corner.set_visible(False)
    steps, dimensions = np.arange(len(kl)), np.arange(kl.shape[1])
    top.plot(steps, kl.sum(axis=1), color="#41679b")
    top.set_ylim(bottom=0)
    top.set_ylabel("nats a step")
    top.set_title(f"KL of the posterior from the prior, {title}", loc="left")
    image = middle.imshow(
        kl.T, aspect="auto", interpolation="nearest", vmin=0, cmap="viridis"
    )
    middle.set_xlabel("step")
    middle.set_ylabel("dimension")
    middle.yaxis.get_major_locator().set_params(integer=True)
    side.barh(dimensions, kl.mean(axis=0), color="#41679b")
    side.set_xlabel("mean over\nsteps (nats)")
    figure.colorbar(image, ax=side, label="nats")
    return figure
