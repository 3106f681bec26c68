"""A search space for `VariationalWalkback`."""

from collections.abc import Callable
from typing import Any

import keras

from keras_seqcredit.checks import check_integer
from keras_seqcredit.layers.transitions.gaussian_transition import (
    GaussianTransition,
)
from keras_seqcredit.models.transition_networks import transition_mlp
from keras_seqcredit.models.variational_walkback import VariationalWalkback
from keras_seqcredit.tuners.tuned_model import TunedModel
from keras_seqcredit.tuners.tuned_model import check_factory


class WalkbackHyperModel(TunedModel):
    """Search space for `VariationalWalkback`, a generative Markov chain.

    It tunes `num_steps`, `temperature_factor`, `learning_rate`, `batch_size`
    and `epochs`; for the default operator also `units`, `num_hidden` and
    `min_scale`, the smallest noise of a step. It is in units of the data: the
    range suits data on a scale of about 1. To change a range or fix a value,
    pass it to the tuner in `hyperparameters`, under the same name.

    Args:
        shape: Positive integer or tuple of them, the shape of a state without
            the batch.
        transition: Function of hyperparameters that creates a `Transition` for
            states of that shape. Defaults to a `GaussianTransition` around a
            `models.transition_mlp`.
        dequantize: Boolean; see `VariationalWalkback`. Defaults to `False`.
        objective: A `keras_tuner.Objective`. Defaults to maximizing
            `val_bound`.
        **kwargs: See `SABHyperModel`.

    Raises:
        ImportError: if KerasTuner is not installed.
        ValueError: if an argument is invalid.

    Example:

    ```python
    import keras_tuner

    from keras_seqcredit import datasets
    from keras_seqcredit import tuners

    x = datasets.circle(1024, seed=0)
    space = tuners.WalkbackHyperModel(2, epochs=(10, 30))
    tuner = keras_tuner.RandomSearch(
        space, objective=space.objective, max_trials=2, directory="search"
    )
    tuner.search(x[:768], validation_data=(x[768:], None))
    samples = tuner.get_best_models()[0].sample(100)
    ```

    References:
        - Goyal et al., "Variational Walkback: Learning a Transition Operator
          as a Stochastic Recurrent Net", NeurIPS 2017, arXiv:1711.02282.
    """

    default_objective = ("val_bound", "max")

    def __init__(
        self,
        shape: int | tuple[int, ...],
        transition: Callable[[Any], Any] | None = None,
        dequantize: bool = False,
        objective: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(objective, **kwargs)
        # Passed args.
        sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
        self.shape = tuple(check_integer("shape", size) for size in sizes)
        self.transition = check_factory(
            "transition", transition, "a transition", True
        )
        self.dequantize = dequantize

    def make_model(self, hp: Any) -> keras.Model:
        make = self.transition or self._make_transition
        return VariationalWalkback(
            make(hp),
            hp.Int("num_steps", 10, 30, step=5, default=20),
            temperature_factor=hp.Float(
                "temperature_factor", 1.1, 2.0, sampling="log", default=1.35
            ),
            dequantize=self.dequantize,
            seed=self.seed,
        )

    def compile(self, hp: Any, model: keras.Model) -> None:
        rate = hp.Float(
            "learning_rate", 5e-4, 5e-3, sampling="log", default=2e-3
        )
        rate = self._falling(hp, rate)
        model.compile(keras.optimizers.Adam(rate, clipnorm=100.0))

    def _make_transition(self, hp: Any) -> GaussianTransition:
        units = hp.Choice("units", [64, 128, 256], default=128)
        num_hidden = hp.Int("num_hidden", 1, 3, default=2)
        return GaussianTransition(
            transition_mlp(self.shape, (units,) * num_hidden),
            min_scale=hp.Float(
                "min_scale", 0.01, 0.1, sampling="log", default=0.02
            ),
        )
