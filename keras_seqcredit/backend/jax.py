"""Loops, gradients and row access on JAX."""

import contextlib
import functools

import jax
import keras

from keras_seqcredit.backend.canonical_convolutions import (
    canonical_convolutions,
)
from keras_seqcredit.backend.eager_loops import compiled_once
from keras_seqcredit.backend.keras_private import backend_mesh

# Iterations of a loop that an accelerator gets at once: starting the operations
# of one takes longer than running them.
TURNS_AT_ONCE = 4


def scan(body, carry, xs, length, reverse=False):
    """Loops `body(carry, x) -> (carry, y)` over the leading axis of `xs`."""
    # A symbolic length, as in an export, is only taken from `xs`.
    known = length if isinstance(length, int) else None
    unroll = 1 if known is None or runs_on_cpu() else TURNS_AT_ONCE

    def loop(carry, xs):
        return jax.lax.scan(
            body, carry, xs, length=known, reverse=reverse, unroll=unroll
        )

    return compiled_once(loop, carry, xs)


def vjp(function, *args, has_aux=False, often=False):
    """Returns `function(*args)` and its pullback to `args`.

    With `has_aux`, the function returns a pair, and the second part, which has
    no gradient, is returned last. `often` is unused: the pullback may be called
    more than once.
    """
    del often
    return jax.vjp(function, *args, has_aux=has_aux)


def custom_gradient(
    forward, backward, operands, constants, jit_compile, batch_axes=None
):
    """Calls `forward(operands, constants)`, differentiated by `backward`.

    Args:
        forward: returns the outputs, and what to keep for `backward`.
        backward: `backward(operands, constants, outputs, kept, gradients)`
            returns gradients in the structure of `operands`.
        operands: structure of tensors with a gradient.
        constants: structure of tensors without one.
        jit_compile: unused, JAX compiles where its caller does.
        batch_axes: axes of operands, constants and outputs; see `per_shard`.
            Devices that share a batch then sum gradients once. Otherwise, the
            compiler makes them exchange rows and gradients at each iteration of
            a loop.

    Returns:
        The outputs.
    """
    del jit_compile

    @jax.custom_vjp
    def call(operands, constants):
        return forward(operands, constants)[0]

    def call_forward(operands, constants):
        outputs, kept = forward(operands, constants)
        return outputs, (operands, constants, outputs, kept)

    def call_backward(saved, gradients):
        # None is JAX's zero gradient for a whole structure.
        return backward(*saved, gradients), None

    call.defvjp(call_forward, call_backward)
    if batch_axes is None:
        return call(operands, constants)
    return per_shard(call, (operands, constants), batch_axes)


def differentiated_twice():
    """A context in which `custom_gradient` may have a second derivative."""
    return contextlib.nullcontext()


def per_shard(function, args, batch_axes):
    """Calls `function(*args)` on each device, on its own shard of the batch.

    Args:
        function: computes each row of the batch from that row alone.
        args: tuple of structures of tensors.
        batch_axes: position of the batch axis in each of `args` and in the
            result, an integer for each or for parts of their structures, -1 for
            none.
    """
    distribution = keras.distribution.distribution()
    if distribution is None:
        return function(*args)
    name, mesh = distribution.batch_dim_name, distribution.device_mesh
    devices = _num_shards(distribution)
    *in_axes, out_axes = batch_axes
    sizes: list = []

    def note(axis, part):
        sizes.extend(x.shape[axis] for x in jax.tree.leaves(part) if axis >= 0)

    jax.tree.map(note, tuple(in_axes), tuple(args))
    traced = all(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(args))
    if not traced or any(size % devices for size in sizes):
        return function(*args)

    def spec(axis):
        if axis < 0:
            return jax.P()
        return jax.P(*[None] * axis, name)

    run = jax.shard_map(
        function,
        mesh=backend_mesh(mesh),
        in_specs=jax.tree.map(spec, tuple(in_axes)),
        out_specs=jax.tree.map(spec, out_axes),
        axis_names={name},
        check_vma=False,
    )
    return run(*args)


def release_gradients():
    """Nothing is held: JAX keeps no gradient of a program that is gone."""


def read(variable):
    """The value of a Keras variable, as a tensor."""
    return variable.value


def take_rows(table, indices):
    """Rows of `table (n, width)` at `indices`."""
    return table.at[indices].get(mode="clip")


def add_rows(table, indices, rows):
    """Adds `rows` to the rows of `table (n, width)` at `indices`."""
    return table.at[indices].add(rows)


# For a program that runs only a few times; other devices compile as usual.
_UNOPTIMIZED = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}


def jit(function, layer, optimize=True):
    """`function(*args)`, compiled; it may read and update variables of `layer`.

    Args:
        function: takes and returns structures of tensors.
        layer: a built layer or model.
        optimize: whether to compile with full effort, for code that runs often.
    """
    variables = layer.variables
    options = None if optimize or not runs_on_cpu() else _UNOPTIMIZED

    @functools.partial(jax.jit, compiler_options=options)
    def pure(values, args):
        mapping = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping) as scope:
            outputs = function(*args)
        return outputs, [scope.get_current_value(v) for v in variables]

    def call(*args):
        before = [v.value for v in variables]
        outputs, after = pure(before, args)
        for variable, value in zip(variables, after, strict=True):
            if not variable.trainable:
                variable.assign(value)
        return outputs

    return call


def train_in_steps(model, steps, *arguments):
    """A training step that is a loop over steps with a loss each.

    Args:
        model: a compiled model, whose weights are updated.
        steps: the `TrainingSteps`.
        *arguments: arguments of `train_step`: values of the trainable and the
            other variables, of the optimizer's and the metrics' variables; and
            a batch.

    Returns:
        The logs, and the state after the step.
    """
    state, data = arguments

    def update(gradients, weights, optimizer):
        weights, optimizer = model.optimizer.stateless_apply(
            optimizer, gradients, weights
        )
        return list(weights), list(optimizer)

    def body(loop, x):
        carry, (weights, others, optimizer, metrics), total = loop

        def loss(weights):
            def run():
                loss, after = steps.step(carry, x)
                return model.optimizer.scale_loss(loss), after

            state = weights, others, optimizer, metrics
            (loss, after), (_, moved, *_) = _scoped(model, run, state)
            return loss, (after, moved)

        gradients, ((carry, y), others) = jax.grad(loss, has_aux=True)(weights)
        if steps.update_each_step:
            weights, optimizer = update(gradients, weights, optimizer)
        else:
            total = jax.tree.map(jax.numpy.add, total, gradients)
        return (carry, (weights, others, optimizer, metrics), total), y

    state = tuple(map(list, state))
    (carry, xs, length), state = _scoped(
        model, lambda: steps.start(data), state
    )
    if steps.convolves and runs_on_cpu():
        body = canonical_convolutions(body)
    total = (
        ()
        if steps.update_each_step
        else [jax.numpy.zeros_like(w) for w in state[0]]
    )
    (carry, state, total), ys = jax.lax.scan(
        body, (carry, state, total), xs, length
    )
    logs, state = _scoped(model, lambda: steps.end(carry, ys), state)
    if not steps.update_each_step:
        weights, others, optimizer, metrics = state
        weights, optimizer = update(total, weights, optimizer)
        state = weights, others, optimizer, metrics
    return logs, state


def train(model, function, *args):
    """A training step in which `function(data)` updates variables itself.

    Args:
        model: a compiled model.
        function: returns the logs.
        *args: arguments of `train_step`: values of the variables, and a batch.

    Returns:
        The logs, and the values after the step.
    """
    state, data = args
    return _scoped(model, lambda: function(data), state)


def _scoped(model, function, state):
    """Calls a function on a state of variables; also returns the new state."""
    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    mapping = [
        pair
        for variables, values in zip(groups, state, strict=True)
        for pair in zip(variables, values, strict=True)
    ]
    with keras.StatelessScope(state_mapping=mapping) as scope:
        outputs = function()
    return outputs, tuple(
        [scope.get_current_value(v) for v in variables] for variables in groups
    )


def apply_gradients(optimizer, gradients, variables):
    """Updates variables inside a function of `train`."""
    values, state = optimizer.stateless_apply(
        [v.value for v in optimizer.variables],
        gradients,
        [v.value for v in variables],
    )
    for variable, value in zip(
        [*variables, *optimizer.variables], [*values, *state], strict=True
    ):
        variable.assign(value)


def runs_on_cpu():
    """Whether programs run on the CPU, not on an accelerator."""
    return jax.default_backend() == "cpu"


def process_index():
    """Index of this process among those that train together, from 0."""
    return jax.process_index()


def process_count():
    """Number of processes that train together."""
    return jax.process_count()


def num_batch_shards(model):
    """Number of devices that share a batch of this process."""
    del model
    distribution = keras.distribution.distribution()
    if distribution is None:
        return 1
    return max(1, _num_shards(distribution) // process_count())


def _num_shards(distribution):
    """Number of shards into which a Keras distribution divides a batch."""
    mesh = distribution.device_mesh
    return mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)]


def check_replicas(model):
    """Nothing to check: there is one replica, see `num_replicas`."""


def num_replicas():
    """One: JAX arrays span all devices."""
    return 1


def replica_mean(x):
    """Mean over replicas; there is only one."""
    return x


def replica_seed(seed):
    """A separate random seed for each replica; there is only one."""
    return seed
