"""JAX convolutions in the one layout that is fast in XLA.

On CPUs, XLA calls a library for convolutions of channels-last images with
`(height, width, in, out)` kernels. It converts others, such as their gradients,
to that layout, but not inside loops, where they take 10 to 25 times as long.
"""

import jax
from jax import lax
from jax.extend import core
from jax.extend.core import primitives


def canonical_convolutions(function):
    """Returns an equivalent function, which cannot be differentiated."""

    def call(*args):
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*args)
        outputs = _evaluate(closed, jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(shape), outputs)

    return call


# Functions in functions, and where they have theirs; by names, as older JAX has
# other objects.
_NESTED = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}


def _evaluate(closed, args):
    """Outputs of a closed jaxpr."""
    values = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
    values.update(zip(closed.jaxpr.invars, args, strict=True))

    def read(v):
        return v.val if isinstance(v, core.Literal) else values[v]

    for equation in closed.jaxpr.eqns:
        primitive, params = equation.primitive, equation.params
        inputs = list(map(read, equation.invars))
        if primitive is primitives.conv_general_dilated_p:
            x, kernel = inputs
            outputs = [_convolve(x, kernel, params)]
        elif primitive.name in _NESTED:
            outputs = _evaluate(params[_NESTED[primitive.name]], inputs)
        else:
            outputs = primitive.bind(*inputs, **params)
            if not primitive.multiple_results:
                outputs = [outputs]
        values.update(zip(equation.outvars, outputs, strict=True))
    return list(map(read, closed.jaxpr.outvars))


def _convolve(x, kernel, params):
    """A convolution, transposed to the layout and back."""
    of_x, of_kernel, of_y = params["dimension_numbers"]
    rank = x.ndim
    space = tuple(range(1, rank - 1))
    last = (0, rank - 1, *space)
    canonical = lax.ConvDimensionNumbers(
        lhs_spec=last,
        rhs_spec=(rank - 1, rank - 2, *range(rank - 2)),
        out_spec=last,
    )
    # Specs are (batch, channels, space) and (out, in, space).
    y = primitives.conv_general_dilated_p.bind(
        lax.transpose(x, (of_x[0], *of_x[2:], of_x[1])),
        lax.transpose(kernel, (*of_kernel[2:], of_kernel[1], of_kernel[0])),
        **{**params, "dimension_numbers": canonical},
    )
    back = dict(zip(of_y, last, strict=True))
    return lax.transpose(y, [back[axis] for axis in range(rank)])
