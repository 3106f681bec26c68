"""A search space for `ZForcing`."""

from collections.abc import Callable
from typing import Any

import keras

from keras_seqcredit import schedules
from keras_seqcredit.layers.recurrent.stochastic_rnn import StochasticRNN
from keras_seqcredit.models.z_forcing import ZForcing
from keras_seqcredit.tuners.tuned_model import TunedModel
from keras_seqcredit.tuners.tuned_model import check_factory
from keras_seqcredit.tuners.tuned_model import made


class ZForcingHyperModel(TunedModel):
    """Search space for `ZForcing` models that use their latents.

    It tunes `units`, `latent_dim`, `posterior`, `auxiliary_weight`,
    `learning_rate`, `batch_size` and `epochs`, and with `train_size` also
    `kl_start`, the initial weight of the divergence, which grows to 1 in the
    first half of training; 1.0 means no such growth. The backward network's
    own likelihood has the weight of the auxiliary cost, as in the authors'
    code. To change a range or fix a value, pass it to the tuner in
    `hyperparameters`, under the same name.

    The objective is the unweighted bound, so trials with different cost weights
    are comparable.

    Args:
        head: Function of hyperparameters that creates a `DistributionHead` for
            a step of the sequences.
        embedding: Function of hyperparameters that creates a layer that turns
            steps into vectors, or `None` for steps that are vectors. Defaults
            to `None`.
        objective: A `keras_tuner.Objective`. Defaults to maximizing `val_elbo`.
        **kwargs: See `SABHyperModel`.

    Raises:
        ImportError: if KerasTuner is not installed.
        ValueError: if an argument is invalid.

    Example:

    ```python
    import keras_tuner
    import numpy as np

    from keras_seqcredit import layers
    from keras_seqcredit import tuners

    x = np.random.randn(256, 10, 3).astype("float32")
    space = tuners.ZForcingHyperModel(
        lambda hp: layers.GaussianHead(3), train_size=192, epochs=10
    )
    tuner = keras_tuner.RandomSearch(
        space, objective=space.objective, max_trials=2, directory="search"
    )
    tuner.search(x[:192], validation_data=(x[192:], None))
    samples = tuner.get_best_models()[0].generate(length=10, num_samples=2)
    ```

    References:
        - Goyal et al., "Z-Forcing: Training Stochastic Recurrent Networks",
          NeurIPS 2017, arXiv:1711.05411.
    """

    default_objective = ("val_elbo", "max")

    def __init__(
        self,
        head: Callable[[Any], Any],
        embedding: Callable[[Any], Any] | None = None,
        objective: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(objective, **kwargs)
        self.head = check_factory("head", head, "a head")
        self.embedding = check_factory("embedding", embedding, "a layer", True)

    def make_model(self, hp: Any) -> keras.Model:
        kl_weight: Any = 1.0
        updates = self._num_updates(hp)
        if updates is not None:
            start = hp.Choice("kl_start", [0.2, 1.0])
            kl_weight = schedules.LinearSchedule(
                start, 1.0, max(updates // 2, 1)
            )
        rnn = StochasticRNN(
            hp.Choice("units", [64, 128, 256], default=128),
            hp.Choice("latent_dim", [8, 16, 32], default=16),
            posterior=hp.Choice(
                "posterior", ["backward", "backward_and_target"]
            ),
            seed=self.seed,
        )
        auxiliary_weight = hp.Choice(
            "auxiliary_weight", [0.0, 0.003, 0.01, 0.05], default=0.01
        )
        return ZForcing(
            rnn,
            self.head(hp),
            embedding=made(self.embedding, hp),
            kl_weight=kl_weight,
            auxiliary_weight=auxiliary_weight,
            backward_weight=auxiliary_weight,
            seed=self.seed,
        )

    def compile(self, hp: Any, model: keras.Model) -> None:
        rate = hp.Float(
            "learning_rate", 5e-4, 5e-3, sampling="log", default=2e-3
        )
        rate = self._falling(hp, rate)
        # As in the paper's code: rarely clipped, with a large epsilon.
        model.compile(
            keras.optimizers.Adam(rate, epsilon=1e-5, global_clipnorm=100.0)
        )
