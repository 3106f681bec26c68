"""The loss of models that end in a distribution head."""

from typing import Any

import keras

from keras_seqcredit.saving import public
from keras_seqcredit.types import Tensor


@public
class NegativeLogLikelihood:
    """The value of `head.negative_log_likelihood`, a savable function.

    Keras cannot load a model that was compiled with a method of a layer. Nor
    can this be a `keras.losses.Loss`: Keras searches the attributes of both
    head and loss for weights, and would go back and forth between them forever.
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
