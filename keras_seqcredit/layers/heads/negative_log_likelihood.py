"""The loss of models that end in a distribution head."""

from typing import Any

import keras

from keras_seqcredit.saving import public
from keras_seqcredit.types import Tensor


@public
class NegativeLogLikelihood:
    """What `head.negative_log_likelihood` is: a function that can be saved.

    Keras cannot load a model that was compiled with a method of a layer. Nor
    may this be a `keras.losses.Loss`: Keras looks for weights in all that the
    head and the loss hold, and would go from one to the other for ever.
    """

    def __init__(self, head: Any) -> None:
        self.head = head

    def __call__(self, y_true: Any, y_pred: Any) -> Tensor:
        return -self.head.log_prob(y_pred, y_true)

    def get_config(self) -> dict[str, Any]:
        return {"head": keras.saving.serialize_keras_object(self.head)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(keras.saving.deserialize_keras_object(config["head"]))
