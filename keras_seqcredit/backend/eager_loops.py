"""Compiles a loop of JAX once when it runs outside of compiled functions."""

import collections
from typing import Any

import jax
import keras

# The newest ones: each keeps its program in memory.
MAX_PROGRAMS = 128
_programs: collections.OrderedDict[tuple, Any] = collections.OrderedDict()


def compiled_once(function, *args):
    """Returns `function(*args)`, computed by a program that is reused.

    `jax.lax.scan` compiles a program for each body that it is given, and a
    layer makes a new body at each call. Here calls share a program if they
    lower to the same code. Tensors that the function takes from outside, such
    as weights, are arguments of the program.

    Calls that JAX traces, and calls on several devices, are left to JAX.
    """
    if (
        _is_traced(args)
        or jax.config.jax_disable_jit  # type: ignore[attr-defined]
        or keras.distribution.distribution() is not None
    ):
        return function(*args)
    closed, outputs = jax.make_jaxpr(function, return_shape=True)(*args)
    operands = closed.consts, jax.tree.leaves(args)

    def run(consts, leaves):
        return jax.core.eval_jaxpr(closed.jaxpr, consts, *leaves)

    if not _is_traced(closed.consts) and not closed.effects:
        run = _program(run, operands)
    return jax.tree.unflatten(jax.tree.structure(outputs), run(*operands))


def _program(run, operands):
    """`run`, compiled for operands like these, now or before."""
    lowered = jax.jit(run).lower(*operands)
    places = [getattr(x, "sharding", None) for x in jax.tree.leaves(operands)]
    key = (lowered.as_text(), *places)
    program = _programs.pop(key, None) or lowered.compile()
    _programs[key] = program
    if len(_programs) > MAX_PROGRAMS:
        _programs.popitem(last=False)
    return program


def _is_traced(tensors):
    return any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(tensors))
