"""A search space for networks with sparse attentive backtracking."""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras

from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_strings
from keras_seqcredit.layers.recurrent.sab_gru import SABGRU
from keras_seqcredit.layers.recurrent.sab_lstm import SABLSTM
from keras_seqcredit.tuners.tuned_model import TunedModel
from keras_seqcredit.tuners.tuned_model import check_factory
from keras_seqcredit.tuners.tuned_model import made

LAYERS: dict[str, Any] = {"lstm": SABLSTM, "gru": SABGRU}


class SABHyperModel(TunedModel):
    """Search space for classifiers and regressors with `SABLSTM` or `SABGRU`.

    It tunes `layer`, `units`, `k_top`, `k_att`, `k_trunc`, `attention`,
    `memory_content`, `read_into`, `learning_rate`, `batch_size` and `epochs`,
    around values known to be good. To change a range or fix a value, pass it to
    the tuner in `hyperparameters`, under the same name.

    The gradient norm is clipped at 1. Override `compile` for another optimizer,
    `make_model` for another network.

    Args:
        input_shape: Tuple `(time, features)`, or `(time,)` with an `embedding`;
            `time` may be None.
        num_outputs: Positive integer, number of classes or outputs.
        per_step: Boolean, whether to have an output at each step instead of one
            after the last step. Defaults to `False`.
        loss: As in `keras.Model.compile`. Defaults to the cross-entropy of
            logits with integer classes.
        metrics: List of metric names. Defaults to the accuracy with the default
            loss.
        embedding: Function of hyperparameters that creates a layer that turns
            steps into vectors, such as `keras.layers.Embedding`. Defaults to
            `None`.
        objective: A `keras_tuner.Objective`. Defaults to minimizing `val_loss`.
        **kwargs: `max_parameters`, above which a trial fails; `batch_sizes`, a
            tuple to choose from, defaults to `(32, 64, 128)`, None for data
            that come in batches; `epochs`, an integer or a pair of lowest and
            highest, defaults to `(10, 60)`; `train_size`, the number of
            training examples, with which the learning rate falls to 0 along a
            cosine; `log_dir`, a folder for TensorBoard; `seed`, the seed of
            each model; `name` and `tunable` of `keras_tuner.HyperModel`.

    Raises:
        ImportError: if KerasTuner is not installed.
        ValueError: if an argument is invalid.

    Example:

    ```python
    import keras_tuner

    from keras_seqcredit import datasets
    from keras_seqcredit import tuners

    (x, y), _ = datasets.sequential_digits(permute=True)
    space = tuners.SABHyperModel(x.shape[1:], num_outputs=10, epochs=(5, 20))
    tuner = keras_tuner.RandomSearch(
        space, objective=space.objective, max_trials=2, directory="search"
    )
    tuner.search(x, y, validation_split=0.2)
    model = tuner.get_best_models()[0]
    ```

    References:
        - Ke et al., "Sparse Attentive Backtracking: Temporal Credit Assignment
          Through Reminding", NeurIPS 2018, arXiv:1809.03702.
    """

    default_objective = ("val_loss", "min")

    def __init__(
        self,
        input_shape: tuple[int | None, ...],
        num_outputs: int,
        per_step: bool = False,
        loss: Any = None,
        metrics: Sequence[str] | None = None,
        embedding: Callable[[Any], Any] | None = None,
        objective: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(objective, **kwargs)
        # Passed args.
        self.embedding = check_factory("embedding", embedding, "a layer", True)
        self.input_shape = _check_shape(input_shape, embedding is None)
        self.num_outputs = check_integer("num_outputs", num_outputs)
        self.per_step = per_step
        self.loss = loss
        self.metrics = _check_metrics(metrics)

    def make_model(self, hp: Any) -> keras.Model:
        layer = LAYERS[hp.Choice("layer", ["lstm", "gru"])]
        embedding = made(self.embedding, hp)
        dtype = "float32" if embedding is None else "int32"
        return keras.Sequential(
            [
                keras.Input(self.input_shape, dtype=dtype),
                *([] if embedding is None else [embedding]),
                layer(
                    hp.Choice("units", [32, 64, 128], default=64),
                    k_top=hp.Choice("k_top", [5, 8, 12], default=8),
                    k_att=hp.Choice("k_att", [1, 2, 4], default=1),
                    k_trunc=hp.Choice("k_trunc", [4, 8, 16], default=4),
                    # Not "concat", which cannot search.
                    attention=hp.Choice("attention", ["dot", "additive"]),
                    memory_content=hp.Choice(
                        "memory_content", ["provisional", "state"]
                    ),
                    read_into=hp.Choice("read_into", ["output", "state"]),
                    return_sequences=self.per_step,
                ),
                keras.layers.Dense(self.num_outputs, dtype="float32"),
            ]
        )

    def compile(self, hp: Any, model: keras.Model) -> None:
        rate = hp.Float(
            "learning_rate", 1e-3, 2e-2, sampling="log", default=1e-2
        )
        rate = self._falling(hp, rate)
        loss, metrics = self.loss, self.metrics
        if loss is None:
            # A softmax that saturates in float32 would stop learning.
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            metrics = ["accuracy"] if metrics is None else metrics
        model.compile(
            keras.optimizers.Adam(rate, global_clipnorm=1.0),
            loss,
            metrics=metrics,
        )


def _check_shape(shape: Any, is_of_vectors: bool) -> tuple[int | None, ...]:
    expected = "(time, features)" if is_of_vectors else "(time,)"
    is_shape = isinstance(shape, (tuple, list)) and all(
        size is None or (isinstance(size, int) and size > 0) for size in shape
    )
    if not is_shape or len(shape) != (2 if is_of_vectors else 1):
        raise ValueError(
            f"Expected `input_shape` to be {expected}, without the batch. "
            f"Received: input_shape={shape!r}"
        )
    if is_of_vectors and shape[1] is None:
        raise ValueError(
            "Expected `input_shape` to have a known number of features. "
            f"Received: input_shape={shape!r}"
        )
    return tuple(shape)


def _check_metrics(metrics: Any) -> list[str] | None:
    if metrics is None:
        return None
    try:
        # An object would be shared by the models of all trials.
        return check_strings("metrics", metrics)
    except ValueError as error:
        raise ValueError(
            f"{error}. For other metrics, override `compile`."
        ) from None
