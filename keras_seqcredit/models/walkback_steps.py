"""Ways to train a chain step by step, in one loop."""

import functools
from typing import Any

import keras
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.backend import keras_private
from keras_seqcredit.models.generative_model import example_weights
from keras_seqcredit.models.markov_chain import step_size


class WalkbackSteps(backend.TrainingSteps):
    """Scores each step of the walk as soon as it is taken.

    Args:
        model: A `VariationalWalkback`.
    """

    def __init__(self, model: Any) -> None:
        super().__init__(model.transition, update_each_step=model.online)
        self.model = model
        self.chain = model.chain
        # The next step is drawn from the pass that scored the last one, but not
        # with new weights or if the network sees the step.
        self.shares_passes = (
            not model.online and model.transition.num_steps is None
        )

    def start(self, data: Any) -> tuple:
        model = self.model
        inputs, _, weight = keras.utils.unpack_x_y_sample_weight(data)
        x, *given = model._classes_for_training(inputs)
        first, schedule = model._start_walk(
            x, model._walk_keys(model.seed_generator)
        )
        weight = example_weights(weight)
        if weight is None:
            weight = ops.ones(ops.shape(first)[:1])
        known: Any = ()
        if self.shares_passes:
            chain = self.chain.given(*given)
            known = chain.parameters(first, None, training=False)
        carry = first, first, weight, known, tuple(given)
        return carry, schedule, model.total_steps

    def step(self, carry: tuple, given: tuple) -> tuple:
        before, first, weight, known, classes = carry
        chain = self.chain.given(*classes)
        key, temperature, step = given
        if self.shares_passes:
            after, forward = chain.draw(
                known, key, temperature, ops.shape(before)
            )
        else:
            after, forward = chain.advance(before, *given)
        parameters, reverse = chain.go_back(
            before, after, temperature, step, training=True
        )
        loss = self.model._mean_loss(-reverse, weight)
        if self.shares_passes:
            known = ops.stop_gradient(parameters)
        size = step_size(before, after, axis=1)
        carry = after, first, weight, known, classes
        return loss, (carry, (loss, forward, reverse, size))

    def end(self, carry: tuple, ys: tuple) -> dict:
        last, first, weight, _, classes = carry
        losses, *of_steps = ys
        walk = self.model._walk_summary(first, last, *of_steps, classes)
        return self.model._report_walk(walk, weight, ops.sum(losses))


def can_score_in_walk(model: Any) -> bool:
    """Whether scoring each step as soon as it is taken gives the same result.

    It does for Keras layers that have no state and draw nothing: they behave
    the same in training. Other layers may do anything, such as look at all rows
    of a call.
    """
    transition = model.transition
    weights = transition.trainable_variables
    return (
        backend.runs_on_cpu()
        and backend.num_batch_shards(model) == 1
        and keras.distribution.distribution() is None
        and _are_moments(transition.non_trainable_variables, transition)
        # Each step would add them.
        and all(v.regularizer is None for v in weights)
        and all(
            type(layer) in _layers_of_keras()
            for layer in keras_private.flat_layers(transition.network)
        )
    )


def _are_moments(variables, transition) -> bool:
    """Whether they are only moments, which a walk does not change."""
    levels = transition.noise_levels
    moments = set() if levels is None else set(map(id, levels.moments))
    return all(id(x) in moments for x in variables)


@functools.cache
def _layers_of_keras() -> frozenset:
    """The classes in `keras.layers`, and models built from them."""
    x = keras.Input((1,))
    classes = [x for x in vars(keras.layers).values() if isinstance(x, type)]
    return frozenset([*classes, keras.Sequential, type(keras.Model(x, x))])
