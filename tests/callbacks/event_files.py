"""Summaries as TensorBoard's own reader finds them."""

from tensorboard.backend.event_processing import event_accumulator
from tensorboard.util import tensor_util


def read(folder):
    """The events of a folder, all of them."""
    events = event_accumulator.EventAccumulator(
        str(folder),
        size_guidance=event_accumulator.STORE_EVERYTHING_SIZE_GUIDANCE,
    )
    return events.Reload()


def scalars(folder):
    """`{tag: [(step, value), ...]}`."""
    events = read(folder)
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def strings(folder):
    """`{tag: [(step, text), ...]}` of text and documents."""
    events = read(folder)
    return {
        tag: [
            (event.step, tensor_util.make_ndarray(event.tensor_proto).item())
            for event in events.Tensors(tag)
        ]
        for tag in events.Tags()["tensors"]
    }


def plugin_of(folder, tag):
    """The name of the page that shows a tag."""
    return read(folder).SummaryMetadata(tag).plugin_data.plugin_name
