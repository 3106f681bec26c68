"""Measures the drift of a generator far beyond the trained length."""

from typing import Any

import numpy as np
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_seed
from keras_seqcredit.metrics import mean_discrepancy
from keras_seqcredit.utils.fresh_accuracy import fresh_accuracy


def drift_by_position(
    model: Any,
    x: Any,
    length: int,
    positions: tuple[int, ...] = (1, 4, 10),
    prompt_steps: int = 0,
    seed: int = 0,
    **settings: Any,
) -> dict[int, dict[str, float]]:
    """Measures how far a generator's free runs differ from data, by position.

    The generator runs over the data, and freely for as many steps. For each
    position, the windows of `length` steps that end after `position * length`
    steps are compared.

    Args:
        model: A built `AutoregressiveRNN`, or a `ProfessorForcing`.
        x: Sequences as `fit` takes them, of at least
            `prompt_steps + max(positions) * length` steps. Use held-out data.
        length: Positive integer, number of steps of the sequences in training.
        positions: Positive integers. Defaults to `(1, 4, 10)`.
        prompt_steps: Non-negative integer, number of data steps that the free
            run reads first. Windows are counted from there. Defaults to `0`.
        seed: Integer, seed of the samples and the discriminators. Defaults to
            `0`.
        **settings: Other arguments of `fresh_accuracy`.

    Returns:
        For each position, a dictionary of floats. `behaviors` and `samples` are
        the accuracies of a fresh discriminator of behaviors (states and
        parameters of the head) and of sequences (see `fresh_accuracy`), 0.5 if
        free runs are like data. `gap` is the maximum mean discrepancy of
        states, 0 in that case.

    Raises:
        ValueError: if an argument is invalid.

    Example:

    ```python
    import keras
    import numpy as np

    from keras_seqcredit import layers
    from keras_seqcredit import models
    from keras_seqcredit import utils

    model = models.AutoregressiveRNN(
        keras.layers.GRUCell(8), layers.GaussianHead(1)
    )
    model.compile("adam")
    waves = np.sin(np.arange(20) + np.arange(16)[:, None])[..., None]
    model.fit(waves[:, :5], verbose=0)
    found = utils.drift_by_position(
        model, waves, length=5, positions=(1, 4), units=4, updates=5
    )
    assert 0 <= found[4]["samples"] <= 1
    ```
    """
    check_integer("length", length)
    for position in positions:
        check_integer("positions", position)
    check_integer("prompt_steps", prompt_steps, minimum=0)
    check_seed(seed, optional=False)
    generator = getattr(model, "generator", model)
    if not (hasattr(generator, "net") and generator.built):
        raise ValueError(
            "Expected `model` to be a built `AutoregressiveRNN` or "
            f"`ProfessorForcing`. Received: model={model!r}"
        )
    sequences = x["sequences"] if isinstance(x, dict) else x
    steps = prompt_steps + max(positions) * length
    if np.ndim(sequences) < 2 or np.shape(sequences)[1] < steps:
        raise ValueError(
            f"Expected sequences of {steps} steps or more, for "
            f"positions={positions}, length={length} and "
            f"prompt_steps={prompt_steps}. Received: shape="
            f"{np.shape(sequences)}"
        )

    def run(inputs):
        net = generator.net
        data = net.read(inputs).cut(steps)
        batch = ops.shape(data.values)[0]
        own = ops.arange(steps)[:, None] >= prompt_steps
        free = net.sample(data, ops.tile(own, (1, batch)))
        return data.values, free.values, data.mask, net.run(data), net.run(free)

    state = generator.seed_generator.state
    before = ops.convert_to_numpy(state.value)
    state.assign(np.full(state.shape, seed))
    found = backend.jit(run, generator)(_as_tensors(x))
    state.assign(before)
    data, free, mask, on_data, freely = found
    pairs = {
        "behaviors": [
            np.concatenate(
                [ops.convert_to_numpy(part) for part in run], axis=-1
            )
            for run in (on_data, freely)
        ],
        "samples": [ops.convert_to_numpy(x) for x in (data, free)],
    }
    mask = None if mask is None else ops.convert_to_numpy(mask)
    results = {}
    for position in positions:
        end = prompt_steps + position * length
        window = slice(end - length, end)
        valid = None if mask is None else mask[:, window]
        results[position] = {
            name: fresh_accuracy(
                a[:, window], b[:, window], mask=valid, seed=seed, **settings
            )
            for name, (a, b) in pairs.items()
        }
        first, second = (
            ops.cast(run.hidden[:, window], "float32")
            for run in (on_data, freely)
        )
        gap = mean_discrepancy(first, second, valid)
        results[position]["gap"] = float(gap)
    return results


def _as_tensors(x):
    if isinstance(x, dict):
        return {name: _as_tensors(value) for name, value in x.items()}
    x = np.asarray(x)
    return ops.convert_to_tensor(
        x.astype("float32") if x.dtype == np.float64 else x
    )
