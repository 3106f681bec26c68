"""Generation with Keras alone: a call of a network for each step.

The network has the layers and sizes of the benchmark's generator; samples are
drawn with NumPy. Its input before the first step is a separate class. Its state
is passed in and out: on JAX, a stateful GRU forgets its state between calls.
"""

import keras
import numpy as np


def make_net(vocabulary: int, embedding_size: int, units: int):
    """Maps classes `(batch, 1)` and a state to logits and the next state."""
    step = keras.Input((1,), dtype="int32")
    state = keras.Input((units,))
    hidden, after = keras.layers.GRU(
        units, return_sequences=True, return_state=True, use_cudnn=False
    )(
        keras.layers.Embedding(vocabulary + 1, embedding_size)(step),
        initial_state=state,
    )
    logits = keras.layers.Dense(vocabulary)(hidden)
    return keras.Model([step, state], [logits, after])


def generate(net, batch: int, length: int, predict, random, samples=None):
    """Draws sequences; `predict` runs the network on one step.

    Args:
        net: from `make_net`.
        batch: number of sequences.
        length: steps of each.
        predict: `net.predict_on_batch`, or an equivalent.
        random: a NumPy generator.
        samples: `(batch, length)`, used instead of drawing.

    Returns:
        Samples `(batch, length)` and logits `(batch, length, vocabulary)`.
    """
    vocabulary = net.output_shape[0][-1]
    state = np.zeros((batch, net.output_shape[1][-1]), "float32")
    step = np.full((batch, 1), vocabulary, "int32")
    steps, outputs = [], []
    for number in range(length):
        logits, state = predict([step, state])
        if samples is None:
            noise = random.gumbel(size=logits.shape)
            step = np.argmax(logits + noise, axis=-1).astype("int32")
        else:
            step = samples[:, number : number + 1]
        steps.append(step)
        outputs.append(logits)
    return np.concatenate(steps, axis=1), np.concatenate(outputs, axis=1)
