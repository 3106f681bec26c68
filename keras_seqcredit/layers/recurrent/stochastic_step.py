"""One step of a stochastic recurrence, as a pure function of its weights."""

import keras
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.recurrence.keras_cell import KerasCell
from keras_seqcredit.recurrence.step import Step


class StochasticStep(Step):
    """Draws a latent and hands it to a cell.

    Inputs are `[x; evidence; noise]`, where evidence is the input of the
    latent's network besides the hidden state, if any. States are the cell's,
    then the sample and the parameters that it was drawn from.

    Args:
        cell: a built Keras cell, on `[x; projection(z)]`.
        network: a built layer, `[h; evidence] -> parameters`.
        projection: a built layer, `z -> features`, or None.
        latent: one of `distributions.latents`.
        features: size of `x`.
        evidence: size of the evidence, 0 for none. Defaults to `0`.
        training: whether the cell and the layers run in training mode. Defaults
            to `False`.
    """

    def __init__(
        self,
        cell,
        network,
        projection,
        latent,
        features,
        evidence=0,
        training=False,
    ):
        self._cell = KerasCell(cell, training)
        self._network = _PureLayer(network, training)
        self._projection = _PureLayer(projection, training)
        self._latent = latent
        self._features = features
        self._evidence = evidence

    # For the cell, the network and the projection.
    batch_axes = (KerasCell.batch_axes, -1, -1)

    @property
    def weights(self) -> tuple:
        return (
            self._cell.weights,
            self._network.weights,
            self._projection.weights,
        )

    def constants(self, step_inputs) -> tuple:
        """The constants of its parts; `step_inputs` are the cell's."""
        return (
            self._cell.constants(step_inputs),
            self._network.constants,
            self._projection.constants,
        )

    def inputs(self, sequences, evidence=None, *, noise):
        """The inputs of each step, `(time, batch, features)`."""
        known = [sequences] if evidence is None else [sequences, evidence]
        return ops.concatenate([*known, noise], axis=-1)

    def __call__(self, weights, constants, inputs, states) -> list:
        _, network_weights, _ = weights
        _, network_constants, _ = constants
        stop = self._features + self._evidence
        x, noise = inputs[:, : self._features], inputs[:, stop:]
        known = [states[0]]
        if self._evidence:
            known.append(inputs[:, self._features : stop])
        parameters = self._network(
            network_weights, network_constants, ops.concatenate(known, -1)
        )
        sample = self._latent.sample(parameters, noise)
        states = self.move(weights, constants, x, sample, states[:-2])
        return [*states, sample, parameters]

    def move(self, weights, constants, x, sample, states) -> list:
        """The cell's states after a step with a given sample."""
        cell_weights, _, projection_weights = weights
        cell_constants, _, projection_constants = constants
        projected = self._projection(
            projection_weights, projection_constants, sample
        )
        inputs = ops.concatenate([x, projected], axis=-1)
        return self._cell(cell_weights, cell_constants, inputs, states)


class _PureLayer:
    """A layer, or None for the identity, called with given weights."""

    def __init__(self, layer, training):
        self._layer = layer
        self._training = training
        self._trainable = layer.trainable_variables if layer else []
        self._others = layer.non_trainable_variables if layer else []
        self.weights = tuple(backend.read(v) for v in self._trainable)
        self.constants = tuple(backend.read(v) for v in self._others)

    def __call__(self, weights, constants, inputs):
        if self._layer is None:
            return inputs
        mapping = list(zip(self._trainable, weights, strict=True))
        mapping += zip(self._others, constants, strict=True)
        # Explicit, since the backward scan calls it outside of the context.
        with keras.StatelessScope(state_mapping=mapping):
            outputs = self._layer(inputs, training=self._training)
        return ops.cast(outputs, inputs.dtype)
