"""One step of a stochastic LSTM, with few matrix products inside the loop.

Equivalent to `StochasticStep` for a layer's default cell and networks. Products
with inputs and evidence are computed for all steps at once, before the loop.
Products with the state are merged into one. Since the projection of the latent
is linear, its path into the gates is one product with `projection . kernel`.
"""

import keras
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.layers.recurrent.clipped_mlp import ClippedMLP
from keras_seqcredit.recurrence.split_cell import SplitCell
from keras_seqcredit.recurrence.split_cell import can_split
from keras_seqcredit.recurrence.step import SplitStep
from keras_seqcredit.sequence_ops import infinite_to_nan


class SplitStochasticStep(SplitStep):
    """Replaces a `StochasticStep` where `can_split_stochastic` allows it.

    Args:
        cell: a built LSTM cell of Keras, on `[x; projection(z)]`.
        network: a built `ClippedMLP`, `[h; evidence] -> parameters`.
        projection: a built `Dense` layer, `z -> features`.
        latent: one of `distributions.latents`.
    """

    def __init__(self, cell, network, projection, latent):
        self._cell = SplitCell(cell)
        self._network = network
        self._latent = latent
        units = cell.units

        def read(variable):
            value = backend.read(variable)
            return ops.cast(value, cell.compute_dtype)

        kernel, recurrent = read(cell.kernel), read(cell.recurrent_kernel)
        features = kernel.shape[0] - projection.units
        self._kernel, of_latent = kernel[:features], kernel[features:]
        hidden, outputs = network.hidden, network.projection
        of_state = read(hidden.kernel)[:units]
        self._evidence_kernel = read(hidden.kernel)[units:]
        self._bias = ops.matmul(read(projection.bias)[None], of_latent)
        if cell.use_bias:
            self._bias = self._bias + read(cell.bias)
        self._hidden_bias = read(hidden.bias)
        self._weights = (
            (of_state, recurrent),
            (
                read(outputs.kernel),
                read(outputs.bias),
                ops.matmul(read(projection.kernel), of_latent),
            ),
        )

    @property
    def weights(self) -> tuple:
        return self._weights

    def inputs(self, sequences, evidence=None, *, noise):
        """Inputs of each step, three tensors `(time, batch, features)`."""
        hidden = ops.zeros_like(noise[..., :1]) + self._hidden_bias
        if evidence is not None:
            evidence = infinite_to_nan(evidence)
            hidden = hidden + _product(evidence, self._evidence_kernel)
        gates = _product(sequences, self._kernel) + self._bias
        return hidden, gates, noise

    def linear(self, weights, constants, inputs, states):
        del constants
        hidden, gates, noise = inputs
        of_state, recurrent = weights
        hidden = hidden + ops.matmul(states[0], of_state)
        return hidden, gates + ops.matmul(states[0], recurrent), noise

    def __call__(self, weights, constants, inputs, states) -> list:
        kernel, bias, latent_kernel = weights
        hidden, gates, noise = inputs
        hidden = self._network.activate(hidden)
        parameters = self._network.clip(ops.matmul(hidden, kernel) + bias)
        sample = self._latent.sample(parameters, noise)
        gates = gates + ops.matmul(sample, latent_kernel)
        states = self._cell((), constants, (gates,), states[:-2])
        return [*states, sample, parameters]


def can_split_stochastic(cell, network, projection, training: bool) -> bool:
    """Whether the step supports the cell and the networks."""
    return (
        type(cell) is keras.layers.LSTMCell
        and can_split(cell, training)
        and type(network) is ClippedMLP
        and projection is not None
    )


def _product(x, kernel):
    """Product of `(time, batch, features)` and a matrix."""
    return backend.per_shard(_matrix_product, (x, kernel), (1, -1, 1))


def _matrix_product(x, kernel):
    # Of a matrix: XLA would transpose the gradient of a stack of them.
    rows = ops.matmul(ops.reshape(x, (-1, x.shape[-1])), kernel)
    return ops.reshape(rows, (*ops.shape(x)[:-1], kernel.shape[-1]))
