"""Walkers that persist from batch to batch, each at its own step."""

from typing import Any

import keras
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.models.generative_model import example_weights
from keras_seqcredit.models.markov_chain import step_size
from keras_seqcredit.seeds import FixedSeed


class Walkers(keras.layers.Layer):
    """The position of each walker, saved with the model.

    Args:
        number: Positive integer, number of walkers.
        event: Tuple, the shape of a state.
        total_steps: Positive integer, number of steps of a walk.
    """

    def __init__(self, number: int, event: tuple, total_steps: int) -> None:
        super().__init__(name="walkers", trainable=False)
        self.number = number
        self.total_steps = total_steps

        def variable(name, shape=(), dtype="float32", initializer="zeros"):
            return self.add_weight(
                shape=(number, *shape),
                dtype=dtype,
                autocast=False,
                initializer=initializer,
                trainable=False,
                name=name,
            )

        self.states = variable("states", event)
        # For the point that a walk began at.
        self.weights_of_points = variable("weight")
        self.classes = variable("classes", dtype="int32")
        # For the walk so far, `log p(back) - log p(there)`.
        self.ratios = variable("ratio")
        # Below 0, a walker waits: it repeats the first step and starts when its
        # lag behind the others is reached.
        self.steps = variable("step", dtype="int32", initializer=self._waits)
        self.built = True

    def _waits(self, shape, dtype=None):
        numbers = ops.arange(shape[0], dtype=dtype)
        return -(numbers % self.total_steps)


class WalkerSteps(backend.TrainingSteps):
    """One step of all walkers, each at its own temperature.

    Args:
        model: A `VariationalWalkback` with `num_walkers`.
    """

    def __init__(self, model: Any) -> None:
        shared = keras.distribution.distribution() is not None
        if shared or backend.num_batch_shards(model) != 1:
            raise ValueError(
                "Expected one device for `num_walkers`; devices that share a "
                f"batch do not keep walkers. Received: "
                f"num_walkers={model.num_walkers}"
            )
        super().__init__(model.transition, update_each_step=False)
        self.model = model

    def start(self, data: Any) -> tuple:
        model, walkers = self.model, self.model.walkers
        inputs, _, weight = keras.utils.unpack_x_y_sample_weight(data)
        x, *classes = model._classes_for_training(inputs)
        keys = FixedSeed.draw(model.seed_generator, 2, model.seed_generator)
        first = model._as_states(x, keys[1])
        weight = example_weights(weight)
        if weight is None:
            weight = ops.ones(ops.shape(first)[:1])
        # Walkers that begin a walk take the rows of the batch in turn.
        step = backend.read(walkers.steps)
        begins = step <= 0
        turn = ops.cumsum(ops.cast(begins, "int32")) - 1
        turn = ops.maximum(turn, 0) % ops.shape(first)[0]

        def joined(new, old):
            old = ops.cast(backend.read(old), new.dtype)
            axes = (1,) * (len(old.shape) - 1)
            return ops.where(
                ops.reshape(begins, (-1, *axes)), ops.take(new, turn, 0), old
            )

        before = joined(first, walkers.states)
        weights = joined(ops.cast(weight, "float32"), walkers.weights_of_points)
        given = tuple(joined(c, walkers.classes) for c in classes)
        carry = before, first, weight, weights, step, tuple(classes), given
        return carry, keys[:1], 1

    def step(self, carry: tuple, key: Any) -> tuple:
        before, _, _, weights, step, _, given = carry
        model, chain = self.model, self.model.chain.given(*given)
        step = ops.maximum(step, 0)
        temperature = ops.take(ops.convert_to_tensor(model.temperatures), step)
        after, forward = chain.advance(before, key, temperature, step)
        _, reverse = chain.go_back(
            before, after, temperature, step, training=True
        )
        # As many steps as a walk has: on average, the same loss.
        loss = model._mean_loss(-model.total_steps * reverse, weights)
        size = step_size(before, after, axis=1)
        return loss, (carry, (loss, after, forward, reverse, size))

    def end(self, carry: tuple, ys: tuple) -> dict:
        _, first, weight, weights, step, classes, given = carry
        loss, after, forward, reverse, size = (y[0] for y in ys)
        model, walkers = self.model, self.model.walkers
        waits = step < 0
        taken = ops.maximum(step, 0)
        gained = ops.cast(reverse - forward, "float32")
        so_far = backend.read(walkers.ratios)
        ratio = gained + ops.where(taken > 0, so_far, 0.0)
        arrived = ops.logical_and(
            ops.logical_not(waits), taken + 1 == model.total_steps
        )
        walkers.states.assign(ops.cast(after, "float32"))
        walkers.weights_of_points.assign(weights)
        walkers.ratios.assign(ratio)
        for new in given:
            walkers.classes.assign(ops.cast(new, "int32"))
        walkers.steps.assign(ops.where(arrived, 0, step + 1))
        prior = model.prior().score(after)
        walk = {
            "first": first,
            "last": after,
            "bound": prior + ratio + model._log_volume(),
            "reverse": reverse[:, None],
            "step_size": size[:, None],
            "acceptance": model._acceptance(first, classes),
        }
        return model._report_walk(
            walk,
            weight,
            loss,
            of_steps=weights,
            of_last=weights * ops.cast(arrived, "float32"),
        )
