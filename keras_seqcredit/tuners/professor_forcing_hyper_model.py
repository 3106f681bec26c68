"""A search space for `ProfessorForcing` and its generator."""

import contextlib
from collections.abc import Callable
from typing import Any

import keras

from keras_seqcredit.checks import check_integer
from keras_seqcredit.layers.recurrent.behavior_discriminator import (
    BehaviorDiscriminator,
)
from keras_seqcredit.models.autoregressive_rnn import AutoregressiveRNN
from keras_seqcredit.models.professor_forcing import ProfessorForcing
from keras_seqcredit.tuners.tuned_model import TunedModel
from keras_seqcredit.tuners.tuned_model import check_factory
from keras_seqcredit.tuners.tuned_model import made

CELLS: dict[str, Any] = {
    "gru": keras.layers.GRUCell,
    "lstm": keras.layers.LSTMCell,
}
TRAININGS = ("adversarial", "mse", "teacher")


class ProfessorForcingHyperModel(TunedModel):
    """Search space for generators trained with `ProfessorForcing`.

    It tunes `cell`, `units`, `training`, `learning_rate`, `batch_size` and
    `epochs`. `training` is one of:

    - `"adversarial"`: a discriminator distinguishes the runs. Also tunes
      `adversarial_weight`, `discriminator_units` and
      `discriminator_learning_rate`.
    - `"mse"`: states of free runs are pulled toward states on data. Also tunes
      `mse_weight`.
    - `"teacher"`: teacher forcing, for comparison; the model is the
      `AutoregressiveRNN` itself.

    To change a range or fix a value, pass it to the tuner in `hyperparameters`,
    under the same name.

    The default objective is the cost of validation data, which all trainings
    report. It does not measure free runs, the target of the training. For
    these, use your own objective that scores samples, or
    `val_free_running_gap`, which `"teacher"` does not report.

    Args:
        head: Function of hyperparameters that creates a `DistributionHead` for
            a step of the sequences.
        embedding: Function of hyperparameters that creates a layer that turns
            steps into vectors, or `None` for steps that are vectors. Defaults
            to `None`.
        condition_network: Function of hyperparameters that creates a layer that
            turns conditions into vectors. Defaults to `None`.
        free_running_steps: Integer of at least 2 or `None`; see
            `ProfessorForcing`. Defaults to `None`.
        trainings: Tuple, the trainings to choose from. Defaults to
            `("adversarial", "mse")`.
        objective: A `keras_tuner.Objective`. Defaults to minimizing `val_nll`.
        **kwargs: See `SABHyperModel`.

    Raises:
        ImportError: if KerasTuner is not installed.
        ValueError: if an argument is invalid.

    Example:

    ```python
    import keras
    import keras_tuner
    import numpy as np

    from keras_seqcredit import layers
    from keras_seqcredit import tuners

    x = np.random.randint(0, 5, (256, 10))
    space = tuners.ProfessorForcingHyperModel(
        lambda hp: layers.CategoricalHead(5),
        embedding=lambda hp: keras.layers.Embedding(5, 8),
        epochs=10,
    )
    tuner = keras_tuner.RandomSearch(
        space, objective=space.objective, max_trials=2, directory="search"
    )
    tuner.search(x[:192], validation_data=(x[192:], None))
    generator = tuner.get_best_models()[0].generator
    ```

    References:
        - Lamb et al., "Professor Forcing: A New Algorithm for Training
          Recurrent Networks", NeurIPS 2016, arXiv:1610.09038.
    """

    default_objective = ("val_nll", "min")

    def __init__(
        self,
        head: Callable[[Any], Any],
        embedding: Callable[[Any], Any] | None = None,
        condition_network: Callable[[Any], Any] | None = None,
        free_running_steps: int | None = None,
        trainings: tuple[str, ...] = TRAININGS[:2],
        objective: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(objective, **kwargs)
        # Passed args.
        self.head = check_factory("head", head, "a head")
        self.embedding = check_factory("embedding", embedding, "a layer", True)
        self.condition_network = check_factory(
            "condition_network", condition_network, "a layer", True
        )
        self.free_running_steps = check_integer(
            "free_running_steps", free_running_steps, 2, optional=True
        )
        if (
            not isinstance(trainings, (tuple, list))
            or not trainings
            or not set(trainings) <= set(TRAININGS)
        ):
            raise ValueError(
                f"Expected `trainings` to be some of {TRAININGS}. Received: "
                f"trainings={trainings!r}"
            )
        self.trainings = tuple(trainings)

    def make_model(self, hp: Any) -> keras.Model:
        training = hp.Choice("training", list(self.trainings))
        model: Any = self._make_generator(hp)
        # Requested for every choice, so that KerasTuner finds all scopes.
        if "adversarial" in self.trainings:
            units, weight = self._adversarial(hp)
            if training == "adversarial":
                model = ProfessorForcing(
                    model,
                    # The generator's gradient passes probabilities near 0.
                    BehaviorDiscriminator(units, dtype="float32"),
                    adversarial_weight=weight,
                    free_running_steps=self.free_running_steps,
                )
        if "mse" in self.trainings:
            with _scope(hp, "mse", "mse_weight"):
                weight = hp.Float(
                    "mse_weight", 1e-3, 1e-1, sampling="log", default=1e-2
                )
            if training == "mse":
                model = ProfessorForcing(
                    model,
                    adversarial_weight=weight,
                    matching="mse",
                    free_running_steps=self.free_running_steps,
                )
        return model

    def compile(self, hp: Any, model: keras.Model) -> None:
        rates = [
            hp.Float("learning_rate", 1e-3, 1e-2, sampling="log", default=3e-3)
        ]
        if "adversarial" in self.trainings:
            name = "discriminator_learning_rate"
            with _scope(hp, "adversarial", name):
                rate = hp.Float(name, 1e-3, 2e-2, sampling="log", default=5e-3)
            if getattr(model, "discriminator", None) is not None:
                rates.append(rate)
        model.compile(
            *[
                keras.optimizers.Adam(self._falling(hp, rate), clipnorm=1.0)
                for rate in rates
            ]
        )

    def _make_generator(self, hp: Any) -> AutoregressiveRNN:
        cell = CELLS[hp.Choice("cell", list(CELLS))]
        return AutoregressiveRNN(
            cell(hp.Choice("units", [64, 128, 256], default=128)),
            self.head(hp),
            embedding=made(self.embedding, hp),
            condition_network=made(self.condition_network, hp),
            seed=self.seed,
        )

    def _adversarial(self, hp: Any) -> tuple[Any, Any]:
        with _scope(hp, "adversarial", "discriminator_units"):
            units = hp.Choice("discriminator_units", [32, 64, 128], default=64)
        with _scope(hp, "adversarial", "adversarial_weight"):
            weight = hp.Choice(
                "adversarial_weight", [0.1, 0.3, 1.0], default=1.0
            )
        return units, weight


def _scope(hp: Any, training: str, name: str) -> Any:
    """The scope of a hyperparameter that only one training has.

    With other trainings, its value is None. KerasTuner treats a hyperparameter
    of the same name that was declared outside of the scope as a different one;
    here, that one is used.
    """
    if any(found.name == name and not found.conditions for found in hp.space):
        return contextlib.nullcontext()
    return hp.conditional_scope("training", [training])
