"""Custom gradients that TensorFlow traced, held no longer than their graphs."""

import inspect
import weakref

import tensorflow as tf
from tensorflow.python.framework import ops


def release_gradients():
    """Lets go of each graph that only its own custom gradient still holds.

    TensorFlow registers the gradient of a traced `tf.custom_gradient` for good.
    That function holds its graph, and the graph holds the weights that it
    reads. Keras' optimizers trace one such gradient in each training step, so
    that no model that was trained would ever be freed. Here, each graph holds
    its gradients itself, and the registry refers to them weakly.
    """
    registry = ops.gradient_registry._registry
    for name, entry in list(registry.items()):
        function = entry["type"]
        if isinstance(function, _HeldByItsGraph):
            if function.graph() is None:
                registry.pop(name, None)
        elif name.startswith("CustomGradient-") and inspect.isfunction(
            function
        ):
            graph = _graph_of(function)
            if graph is not None:
                entry["type"] = _HeldByItsGraph(name, function, graph)


class _HeldByItsGraph:
    """Calls a gradient of a graph, as long as the graph exists."""

    def __init__(self, name, function, graph):
        self.attribute = f"_keras_seqcredit_{name}"
        self.graph = weakref.ref(graph)
        setattr(graph, self.attribute, function)

    def __call__(self, op, *gradients):
        return getattr(self.graph(), self.attribute)(op, *gradients)


def _graph_of(function):
    """The graph in which a gradient was registered, or None."""
    inner = inspect.getclosurevars(function).nonlocals.get("tape_grad_fn")
    if inner is None:
        return None
    traced = inspect.getclosurevars(inner).nonlocals.get("result")
    for tensor in tf.nest.flatten(traced):
        if tf.is_symbolic_tensor(tensor):
            return tensor.graph
    return None
