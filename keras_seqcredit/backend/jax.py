"""Loops, gradients and row access on JAX."""

import jax
import keras


def scan(body, carry, xs, length, reverse=False):
    """Loops `body(carry, x) -> (carry, y)` over the leading axis of `xs`."""
    # A symbolic length, as in an export, is only taken from `xs`.
    known = length if isinstance(length, int) else None
    return jax.lax.scan(body, carry, xs, length=known, reverse=reverse)


def vjp(function, *args):
    """Returns `function(*args)` and its pullback to `args`."""
    return jax.vjp(function, *args)


def custom_gradient(forward, backward, operands, constants, jit_compile):
    """Calls `forward(operands, constants)`, differentiated by `backward`.

    Args:
        forward: returns the outputs, and what else to keep for `backward`.
        backward: `backward(operands, constants, outputs, kept, gradients)`
            returns gradients in the structure of `operands`.
        operands: structure of tensors with a gradient.
        constants: structure of tensors without one.
        jit_compile: unused, JAX compiles where its caller does.

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
    return call(operands, constants)


def read(variable):
    """The value of a Keras variable, as a tensor."""
    return variable.value


def take_rows(table, indices):
    """Rows of `table (n, width)` at `indices`."""
    return table.at[indices].get(mode="clip")


def add_rows(table, indices, rows):
    """Adds `rows` to the rows of `table (n, width)` at `indices`."""
    return table.at[indices].add(rows)


def compiled(function, layer):
    """`function(*args)`, compiled; it may read and update variables of `layer`.

    Args:
        function: takes and returns structures of tensors.
        layer: a built layer or model.
    """
    variables = layer.variables

    @jax.jit
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
