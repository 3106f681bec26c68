"""Event files with the documents that the page shows, made up."""

import json
import time

import numpy as np
from tensorboard.compat.proto import event_pb2
from tensorboard.compat.proto import summary_pb2
from tensorboard.compat.proto import tensor_pb2
from tensorboard.compat.proto import tensor_shape_pb2
from tensorboard.compat.proto import types_pb2
from tensorboard.summary.writer import record_writer


def write(folder, tag, documents):
    """Writes `{step: document}`; documents may be strings that are no JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"events.out.tfevents.{time.time_ns()}"
    with path.open("xb") as file:
        records = record_writer.RecordWriter(file)
        write_event(records, file_version="brain.Event:2")
        for step, document in documents.items():
            if not isinstance(document, str):
                document = json.dumps(document)
            summary = summary_pb2.Summary(value=[to_value(tag, document)])
            write_event(records, step=step, summary=summary)
        records.flush()


def write_event(records, **fields):
    event = event_pb2.Event(wall_time=time.time(), **fields)
    records.write(event.SerializeToString())


def to_value(tag, document):
    metadata = summary_pb2.SummaryMetadata(
        plugin_data={"plugin_name": "credit"},
        data_class=summary_pb2.DATA_CLASS_TENSOR,
    )
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING,
        tensor_shape=tensor_shape_pb2.TensorShapeProto(),
        string_val=[document.encode()],
    )
    return summary_pb2.Summary.Value(tag=tag, tensor=tensor, metadata=metadata)


def reads(length, k_top=3, seed=0, layer="sab", labels=None, inputs=True):
    """Steps read some of the steps that the seed has made important."""
    rng = np.random.default_rng(seed)
    important = rng.choice(length, max(4, length // 12), replace=False)
    triples = []
    for step in range(1, length):
        before = important[important < step]
        memories = rng.permutation(np.append(before, -1))[:k_top]
        shares = rng.dirichlet(np.full(len(memories), 0.4))
        triples += [
            [step, int(memory), round(float(share), 4)]
            for memory, share in zip(memories, shares, strict=True)
        ]
    values = np.abs(np.sin(np.arange(length) / 5)) * rng.random(length)
    return {
        "kind": "reads",
        "layer": layer,
        "example": 0,
        "length": length,
        "labels": labels,
        "inputs": [round(float(x), 3) for x in values] if inputs else None,
        "reads": triples,
    }


def gradients(length, decay, truncated=None, layer="sab", labels=None):
    """Norms that fall with the lag, and are 0 after `truncated` steps."""
    rng = np.random.default_rng(0)
    lags = np.arange(length)[::-1]
    norms = 0.3 * np.exp(-decay * lags + 0.3 * rng.normal(size=length))
    if truncated is not None:
        norms[lags > truncated] = 0
    return {
        "kind": "gradients",
        "layer": layer,
        "example": 0,
        "length": length,
        "labels": labels,
        "norms": [float(norm) for norm in norms],
    }
