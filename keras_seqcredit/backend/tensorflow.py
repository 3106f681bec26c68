"""Loops, gradients and row access on TensorFlow."""

import contextlib
import contextvars

import tensorflow as tf

from keras_seqcredit.backend.keras_private import distribution_strategy
from keras_seqcredit.backend.traced_gradients import release_gradients

_COMPILES = contextvars.ContextVar("compiles", default=True)
# Whether TensorFlow may differentiate a loop.
_DIFFERENTIATED = contextvars.ContextVar("differentiated", default=True)


def scan(body, carry, xs, length, reverse=False):
    """Loops `body(carry, x) -> (carry, y)` over the leading axis of `xs`.

    Unlike `keras.ops.scan`, it stacks outputs of any shape and compiles under
    XLA for a length that is unknown while tracing.
    """
    if tf.executing_eagerly():
        return _unrolled_scan(body, carry, xs, length, reverse)

    def element(index):
        return tf.nest.map_structure(lambda x: tf.gather(x, index), xs)

    def turn(index, carry):
        return body(carry, element(index))

    # TensorArrays need the shapes of the outputs before the loop starts.
    traced = tf.function(turn, autograph=False)
    _, specs = traced.get_concrete_function(
        tf.constant(0), carry
    ).structured_outputs
    # The loop calls what was traced, which saves tracing it again. XLA cannot
    # compile TensorFlow's gradient of such a call.
    if not _DIFFERENTIATED.get():
        turn = traced
    outputs = tf.nest.map_structure(
        lambda output: tf.TensorArray(
            output.dtype, size=length, element_shape=output.shape
        ),
        specs,
    )
    shapes = tf.nest.map_structure(lambda value: value.shape, carry)

    def step(count, carry, outputs):
        index = length - 1 - count if reverse else count
        carry, output = turn(index, carry)
        # XLA needs loop-invariant shapes; a body may lose static ones.
        tf.nest.map_structure(
            lambda value, shape: value.set_shape(shape), carry, shapes
        )
        outputs = tf.nest.map_structure(
            lambda array, value: array.write(index, value), outputs, output
        )
        return count + 1, carry, outputs

    _, carry, outputs = tf.while_loop(
        lambda count, *_: count < length,
        step,
        (tf.constant(0), carry, outputs),
        maximum_iterations=length,
    )
    return carry, tf.nest.map_structure(lambda array: array.stack(), outputs)


def _unrolled_scan(body, carry, xs, length, reverse=False):
    outputs = []
    steps = range(int(length))
    for index in reversed(steps) if reverse else steps:
        carry, output = body(
            carry, tf.nest.map_structure(lambda x, i=index: x[i], xs)
        )
        outputs.append(output)
    if reverse:
        outputs.reverse()
    return carry, tf.nest.map_structure(
        lambda *values: tf.stack(values), *outputs
    )


def vjp(function, *args, has_aux=False, often=False):
    """Returns `function(*args)` and its pullback to `args`, for one call.

    With `has_aux`, the function returns a pair, and the second part, which has
    no gradient, is returned last. With `often`, the pullback may be called more
    than once.
    """
    context = differentiated_twice() if often else contextlib.nullcontext()
    with (
        context,
        tf.GradientTape(
            persistent=often, watch_accessed_variables=False
        ) as tape,
    ):
        tape.watch(tf.nest.flatten(args))
        outputs = function(*args)
        outputs, aux = outputs if has_aux else (outputs, None)

    def pullback(gradients):
        return tape.gradient(
            outputs,
            args,
            output_gradients=gradients,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )

    return (outputs, pullback, aux) if has_aux else (outputs, pullback)


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
        jit_compile: compile both with XLA when called inside a `tf.function`,
            even if that function itself is not compiled.
        batch_axes: unused, a replica knows only its own rows.

    Returns:
        The outputs.
    """
    del batch_axes
    if jit_compile and _COMPILES.get() and not tf.executing_eagerly():
        forward, backward = (
            tf.function(
                _holding(_DIFFERENTIATED, False)(function),
                autograph=False,
                jit_compile=True,
            )
            for function in (forward, backward)
        )

    structure = None

    @tf.custom_gradient
    def call(*flat):
        nonlocal structure
        operands_ = tf.nest.pack_sequence_as(operands, flat)
        outputs, kept = forward(operands_, constants)
        structure = outputs
        flat_outputs = tf.nest.flatten(outputs)

        def gradient(*flat_gradients):
            gradients = [
                tf.zeros_like(output)
                if gradient is None
                # For a gather, it is a tf.IndexedSlices.
                else tf.convert_to_tensor(gradient)
                for gradient, output in zip(
                    flat_gradients, flat_outputs, strict=True
                )
            ]
            return tf.nest.flatten(
                backward(
                    operands_,
                    constants,
                    outputs,
                    kept,
                    tf.nest.pack_sequence_as(outputs, gradients),
                )
            )

        return flat_outputs, gradient

    flat_outputs = call(*tf.nest.flatten(operands))
    if not tf.executing_eagerly():
        release_gradients()
    return tf.nest.pack_sequence_as(structure, flat_outputs)


def differentiated_twice():
    """A context in which `custom_gradient` may have a second derivative.

    A separately compiled loop cannot be differentiated from outside, nor by a
    persistent tape.
    """
    return _holding(_COMPILES, False)


@contextlib.contextmanager
def _holding(variable, value):
    """A context, or a decorator, in which a variable has a value."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def per_shard(function, args, batch_axes):
    """Calls `function(*args)`; a replica knows only its own rows."""
    del batch_axes
    return function(*args)


def read(variable):
    """The current value of a Keras variable, as a tensor.

    Keras may return a `tf.Variable`, which would be read again on use.
    """
    return tf.convert_to_tensor(variable.value)


def take_rows(table, indices):
    """Rows of `table (n, width)` at `indices`."""
    return tf.gather(table, indices)


def add_rows(table, indices, rows):
    """Adds `rows` to the rows of `table (n, width)` at `indices`."""
    return tf.tensor_scatter_nd_add(table, indices[..., None], rows)


def jit(function, layer, optimize=True):
    """`function(*args)`, compiled; it may read and update variables of `layer`.

    Args:
        function: takes and returns structures of tensors.
        layer: a built layer or model.
        optimize: whether to compile with XLA, for code that runs often.
    """
    del layer
    return tf.function(function, autograph=False, jit_compile=optimize)


def train_in_steps(model, steps, *arguments):
    """A training step that is a loop over steps with a loss each.

    Args:
        model: a compiled model, whose weights are updated.
        steps: the `TrainingSteps`.
        *arguments: arguments of `train_step`, a batch.

    Returns:
        The logs.
    """
    (data,) = arguments
    carry, xs, length = steps.start(data)
    weights = model.trainable_variables
    if not model.optimizer.built:  # A loop cannot create variables.
        model.optimizer.build(weights)

    def body(loop, x):
        carry, total = loop
        with tf.GradientTape() as tape:
            loss, (carry, y) = steps.step(carry, x)
            loss = model.optimizer.scale_loss(loss)
        gradients = tape.gradient(
            loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        if steps.update_each_step:
            model.optimizer.apply(gradients, weights)
        else:
            total = [a + b for a, b in zip(total, gradients, strict=True)]
        return (carry, total), y

    # Replicas cannot wait for each other inside a loop, and on CPUs, XLA has
    # only slow code for gradients of convolutions inside one.
    slow = steps.convolves and runs_on_cpu() and model.jit_compile
    loop = scan if num_replicas() == 1 and not slow else _unrolled_scan
    total = (
        ()
        if steps.update_each_step
        else [tf.zeros_like(read(w)) for w in weights]
    )
    (carry, total), ys = loop(body, (carry, total), xs, length)
    logs = steps.end(carry, ys)
    if not steps.update_each_step:
        model.optimizer.apply(total, weights)
    return logs


def train(model, function, *args):
    """A training step in which `function(data)` updates variables itself.

    Args:
        model: a compiled model.
        function: returns the logs.
        *args: arguments of `train_step`: a batch.

    Returns:
        The logs.
    """
    (data,) = args
    # A function that updates variables cannot create any.
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    return function(data)


def apply_gradients(optimizer, gradients, variables):
    """Updates variables inside a function of `train`."""
    optimizer.apply(gradients, variables)


def runs_on_cpu():
    """Whether programs run on the CPU, not on an accelerator."""
    kinds = {device.device_type for device in tf.config.list_logical_devices()}
    return not kinds & {"GPU", "TPU"}


def process_index():
    """Index of this process among those that train together, from 0."""
    return 0  # `MirroredStrategy` is one process.


def process_count():
    """Number of processes that train together."""
    return 1


def num_batch_shards(model):
    """Number of devices that share a batch of this process."""
    return distribution_strategy(model).num_replicas_in_sync


def check_replicas(model):
    """Raises an error for several replicas with XLA, which are incompatible."""
    if model.jit_compile is True and num_batch_shards(model) > 1:
        raise ValueError(
            "Replicas of `tf.distribute` wait for each other in the middle of "
            "a step. Expected `jit_compile='auto'` or `False` in `compile`. "
            "Received: jit_compile=True"
        )


def num_replicas():
    """Number of `tf.distribute` replicas that share a batch."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def replica_mean(x):
    """Mean over the replicas of `tf.distribute`; differentiable."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return x
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, x)


def replica_seed(seed):
    """A separate random seed for each replica of `tf.distribute`."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return seed
    return tf.random.fold_in(seed, context.replica_id_in_sync_group)
