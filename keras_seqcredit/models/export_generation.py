"""Exports generation for use without this package."""

import inspect
import os
import pathlib
from typing import Any

import keras
from keras import ops

from keras_seqcredit.checks import check_flag
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_number
from keras_seqcredit.models.autoregressive_rnn import AutoregressiveRNN
from keras_seqcredit.models.professor_forcing import ProfessorForcing
from keras_seqcredit.models.sequences import of_each_step
from keras_seqcredit.models.variational_walkback import VariationalWalkback
from keras_seqcredit.models.z_forcing import ZForcing
from keras_seqcredit.seeds import FixedSeed

# File formats that Keras writes in other ways.
_OTHER_FORMATS = (".h5", ".keras", ".onnx", ".tflite")


def export_generation(
    model: Any,
    path: str | os.PathLike[str],
    prompt: Any = None,
    conditions: Any = None,
    **arguments: Any,
) -> None:
    """Exports the generation of a model as a TensorFlow SavedModel.

    The SavedModel has one endpoint, `generate(seed)` with an int32 scalar, or
    `generate(seed, prompt, conditions)` with whichever of the two are
    requested. It returns the same as `model.generate`, and the same seed always
    gives the same draw. On JAX, this is the model's own draw for the seed. On
    TensorFlow, it differs from the model's, because XLA has its own random
    numbers. All other arguments are fixed, and so is the number of steps. The
    contents of a prompt are not checked. Running the SavedModel requires
    TensorFlow, but neither Keras nor this package.

    TensorFlow 2.21 cannot run JAX 0.10 exports that use attention or `top_k`:
    export such models on TensorFlow.

    Args:
        model: An `AutoregressiveRNN`, `ProfessorForcing`, `ZForcing` or
            `VariationalWalkback` that has seen data.
        path: String or path, the folder to write to.
        prompt: `keras.InputSpec` or None, shape and dtype of the prompt:
            `(batch, steps, features)` or integers `(batch, steps)`. On
            TensorFlow, the batch may be None, and for an `AutoregressiveRNN`
            also the steps; longer prompts are then truncated. Defaults to
            `None`.
        conditions: `keras.InputSpec` or None, shape and dtype of the
            conditions, with the batch as in `prompt`. Defaults to `None`.
        **arguments: Other arguments of `model.generate`: `length`,
            `num_samples`, `temperature` and, for an `AutoregressiveRNN`,
            `top_k` and `stop`. For a `VariationalWalkback`, the arguments of
            `model.sample`, except for the seed and the trajectory.

    Raises:
        ValueError: if the model is of another kind or has not seen data, or if
            an argument is invalid.

    Example:

    ```python
    import keras
    import numpy as np

    from keras_seqcredit import layers
    from keras_seqcredit import models

    model = models.AutoregressiveRNN(
        keras.layers.GRUCell(16), layers.GaussianHead(2)
    )
    model.compile("adam")
    model.fit(np.random.randn(32, 10, 2).astype("float32"), batch_size=16)
    models.export_generation(model, "served", length=20, num_samples=3)
    ```

    To serve the export:

    ```python
    import tensorflow as tf

    served = tf.saved_model.load("served")
    samples = served.generate(seed=tf.constant(7))
    assert samples.shape == (3, 20, 2)
    ```
    """
    path = _checked_path(path)
    if isinstance(model, ProfessorForcing):
        model = model.generator
    specs = {"prompt": prompt, "conditions": conditions}
    specs = {name: spec for name, spec in specs.items() if spec is not None}
    make: Any
    if isinstance(model, AutoregressiveRNN):
        make = _autoregressive
    elif isinstance(model, ZForcing):
        make = _with_latents
    elif isinstance(model, VariationalWalkback):
        make = _walkback
    else:
        raise ValueError(
            "Expected a model that generates: an `AutoregressiveRNN`, "
            "`ProfessorForcing`, `ZForcing` or `VariationalWalkback`. "
            f"Received: {model!r}"
        )
    model._check_built()
    known = [*inspect.signature(make).parameters][2:]
    if not set(arguments) <= set(known):
        raise ValueError(
            f"Expected arguments among {known} to export a "
            f"{type(model).__name__}. Received: {sorted(arguments)}"
        )
    draw = make(model, specs, **arguments)
    inputs = {"seed": keras.InputSpec(shape=(), dtype="int32"), **specs}

    def generate(*values):
        return draw(**dict(zip(inputs, values, strict=True)))

    # TensorFlow takes the names of the endpoint's inputs from the signature.
    generate.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD)
            for name in inputs
        ]
    )
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("generate", generate, list(inputs.values()))
    archive.write_out(path, verbose=False)


def _autoregressive(
    model,
    specs,
    length=None,
    num_samples=1,
    temperature=1.0,
    top_k=None,
    stop=None,
):
    """`draw(seed, prompt=None, conditions=None)` of an `AutoregressiveRNN`."""
    model._check_classes(top_k, stop)
    _check(model, specs, length, num_samples, temperature)

    def draw(seed, prompt=None, conditions=None):
        keys = _keys(model, _state(model, seed, 0), length)
        xs = {"key": keys}
        total = _total(num_samples, prompt, conditions)
        steps = 0
        if prompt is not None:
            prompt = ops.repeat(prompt[:, :length], num_samples, axis=0)
            steps = ops.shape(prompt)[1]
            rest = ops.zeros((total, length - steps, *prompt.shape[2:]))
            rest = ops.cast(rest, prompt.dtype)
            prompt = ops.concatenate([prompt, rest], axis=1)
            xs["given"] = ops.swapaxes(prompt, 0, 1)
            xs["is_given"] = ops.arange(length) < steps
        if conditions is not None:
            conditions = ops.repeat(conditions, num_samples, axis=0)
            conditions = model.net.prepared(conditions)
            xs["conditions"] = of_each_step(conditions, length)
        carry = model.net.start(total, length)
        _, samples = model.net.generate(carry, xs, temperature, top_k)
        samples = ops.swapaxes(samples, 0, 1)
        if stop is None:
            return samples
        is_stop = (samples == stop) & (ops.arange(length) >= steps)
        ended = ops.cumsum(ops.cast(is_stop, "int32"), axis=1) > 0
        return ops.where(ended, stop, samples)

    return draw


def _with_latents(model, specs, length=None, num_samples=1, temperature=1.0):
    """`draw(seed, prompt=None, conditions=None)` of a `ZForcing`."""
    _check(model, specs, length, num_samples, temperature)
    start = 0
    if "prompt" in specs:
        start = specs["prompt"].shape[1]
        if start is None:
            raise ValueError(
                "Expected a `prompt` with a known number of steps for a "
                f"`ZForcing`. Received: shape={specs['prompt'].shape}"
            )
    rnn = model.stochastic_rnn

    def draw(seed, prompt=None, conditions=None):
        total = _total(num_samples, prompt, conditions)
        noise = FixedSeed(_state(model, seed, 0))
        noise = rnn.latents.noise((length, total), noise)
        keys = _keys(model, _state(model, seed, 1), length)
        given = [
            ops.repeat(x, num_samples, axis=0)
            for x in (prompt, conditions)
            if x is not None
        ]
        return model._generate(length, start, noise, keys, temperature, *given)

    return draw


def _walkback(
    model,
    specs,
    num_samples=1,
    extra_steps=0,
    schedule=None,
    steps=None,
    repeats=1,
    denoise=False,
    classes=None,
    guidance=None,
):
    """`draw(seed)` of a `VariationalWalkback`."""
    if specs:
        raise ValueError(
            "A `VariationalWalkback` starts from its prior. Expected neither "
            f"`prompt` nor `conditions`. Received: {sorted(specs)}"
        )
    check_integer("num_samples", num_samples)
    check_flag("denoise", denoise)
    temperatures, steps = model._way_back(extra_steps, schedule, steps, repeats)
    given = model._given_classes(classes, guidance, num_samples)
    shape = (num_samples, *model.prior_mean.shape)

    def draw(seed):
        noise = model.transition.noise(shape, FixedSeed(_state(model, seed, 0)))
        first = model.prior().draw(noise)
        keys = _keys(model, _state(model, seed, 1), len(steps))
        schedule = keys, *map(ops.convert_to_tensor, (temperatures, steps))
        states = model._run_chain(False, denoise, first, schedule, given)
        if not model.dequantize:
            return ops.cast(states, "float32")
        return ops.cast(ops.clip(ops.floor(256 * states), 0, 255), "uint8")

    return draw


def _state(model, seed, number):
    """The state of `keras.random.SeedGenerator(seed)` after `number` draws."""
    return ops.cast(ops.stack([seed, number]), model.seed_generator.state.dtype)


def _keys(model, state, num):
    return FixedSeed.draw(FixedSeed(state), num, model.seed_generator)


def _total(num_samples, *given):
    """Total number of sequences to draw."""
    batches = [ops.shape(x)[0] for x in given if x is not None]
    return batches[0] * num_samples if batches else num_samples


def _check(model, specs, length, num_samples, temperature):
    """Checks common to both kinds of sequence models."""
    check_integer("length", length)
    check_integer("num_samples", num_samples)
    check_number("temperature", temperature)
    for name, spec in specs.items():
        if not isinstance(spec, keras.InputSpec) or not spec.shape:
            raise ValueError(
                f"Expected `{name}` to be a `keras.InputSpec` with a shape "
                f"and a dtype. Received: {name}={spec!r}"
            )
        if keras.backend.backend() == "jax" and None in spec.shape:
            raise ValueError(
                "Densities on JAX need known shapes. Expected the batch and "
                f"the steps of `{name}`. Received: shape={spec.shape}"
            )
    given = specs.get("conditions")
    model._check_conditions(None if given is None else given.shape, length)
    if "prompt" not in specs:
        return
    size = model.head.event_size
    shape = specs["prompt"].shape
    event = () if size is None else (size,)
    steps = shape[1] if len(shape) > 1 else 0
    if shape[2:] != event or not (steps is None or 0 < steps <= length):
        raise ValueError(
            f"Expected a `prompt` of shape (batch, steps, {size}) or, of "
            f"classes, (batch, steps), with 1 to {length} steps. Received: "
            f"shape={shape}"
        )


def _checked_path(path):
    path = pathlib.Path(path)
    if path.suffix in _OTHER_FORMATS or path.is_file():
        raise ValueError(
            "Expected `path` to be a folder for a SavedModel. Received: "
            f"path={str(path)!r}"
        )
    return str(path)
