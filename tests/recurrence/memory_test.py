"""What the compiled loops do with the memory: no sort, no copy, no T^2."""

import re

import keras
import numpy as np
import pytest

from keras_seqcredit.layers import SABLSTM
from tests.gradients import BACKEND
from tests.gradients import with_weights

# Shapes that nothing else has: 90 + 1 slots of 7 units for 3 examples.
BATCH, TIME, UNITS, K_TOP = 3, 90, 7, 4


def make_layer(**arguments):
    layer = SABLSTM(UNITS, k_top=K_TOP, k_trunc=5, **arguments)
    layer.build((BATCH, TIME, 2))
    return layer


def loss_of(layer):
    def loss(weights, inputs):
        outputs = with_weights(layer, weights, lambda: layer(inputs))
        return keras.ops.sum(keras.ops.sin(outputs))

    return loss


def weights_and_inputs(layer, time=TIME):
    weights = [np.asarray(v) for v in layer.trainable_variables]
    return weights, np.ones((BATCH, time, 2), "float32")


def compiled_text(layer):
    """The optimized HLO of the value and the gradient of a loss."""
    loss = loss_of(layer)
    weights, inputs = weights_and_inputs(layer)
    if BACKEND == "jax":
        import jax

        run = jax.jit(jax.value_and_grad(loss))
        return run.lower(weights, inputs).compile().as_text()
    import tensorflow as tf

    @tf.function(jit_compile=True, autograph=False)
    def run(weights, inputs):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            value = loss(weights, inputs)
        return value, tape.gradient(value, weights)

    weights = [tf.convert_to_tensor(w) for w in weights]
    find = run.experimental_get_compiler_ir(
        weights, tf.convert_to_tensor(inputs)
    )
    return find(stage="optimized_hlo")


def computations(text):
    """The lines of each computation of an HLO module, by name."""
    found, name = {}, None
    for line in text.splitlines():
        header = re.match(r"(?:ENTRY )?%?([\w.\-]+) .*\{$", line)
        if header and "->" in line:
            name = header.group(1)
            found[name] = []
        elif name and line.strip() != "}":
            found[name].append(line.strip())
    return found


def loop_lines(text):
    """All lines that run inside a while loop, of what it calls too."""
    parts = computations(text)
    names = re.findall(r"body=%?([\w.\-]+)", text)
    assert names
    lines, done = [], set()
    while names:
        name = names.pop()
        if name in done or name not in parts:
            continue
        done.add(name)
        lines += parts[name]
        names += re.findall(
            r"(?:calls|to_apply|body)=%?([\w.\-]+)", "\n".join(parts[name])
        )
    assert len(lines) > 50
    return lines


@pytest.mark.parametrize(
    "arguments",
    [
        {"attention": "additive"},
        {"attention": "dot", "attention_units": 3, "read_into": "state"},
        {"attention": "concat", "memory_content": "state"},
    ],
    ids=lambda arguments: arguments["attention"],
)
def test_loops_neither_sort_nor_copy_the_memory(arguments):
    lines = loop_lines(compiled_text(make_layer(**arguments)))

    # top_k is a custom call, unless XLA has to take its results apart.
    assert not [line for line in lines if re.search(r"\bsort\(", line)]
    assert [line for line in lines if "TopK" in line or "topk(" in line]

    # The table of gradients, (slots * B, units), is written in place.
    rows = (TIME + 1) * BATCH
    table = re.compile(rf"= f32\[{rows},{UNITS}\]")
    of_table = [line for line in lines if table.search(line)]
    assert of_table
    assert not [line for line in of_table if re.search(r" copy\(", line)]

    # So are the memory, (B, slots, units), and what the score keeps of a slot.
    memory = re.compile(rf"= f32\[{BATCH},\d\d,\d+\]")
    of_memory = [line for line in lines if memory.search(line)]
    assert of_memory
    assert not [line for line in of_memory if re.search(r" copy\(", line)]


def test_the_check_sees_a_copy():
    text = (
        """
%body.1 (p: (f32[273,7])) -> (f32[273,7]) {
  %c = f32[273,7]{1,0} copy(f32[273,7]{1,0} %p)
}
"""
        + "%filler (p: f32[]) -> f32[] {\n"
        + "  %x = f32[] add()\n" * 60
        + "}\n"
    )
    text += "ENTRY %main (p: f32[]) -> f32[] {\n"
    text += "  %w = while(), body=%body.1\n  %v = while(), body=%filler\n}\n"
    assert any(" copy(" in line for line in loop_lines(text))


@pytest.mark.skipif(BACKEND != "jax", reason="TensorFlow does not tell")
@pytest.mark.parametrize("attention", ["additive", "dot", "concat"])
def test_memory_is_linear_in_time(attention):
    import jax

    layer = make_layer(attention=attention)
    sizes = []
    # Long enough for as many segments in both.
    for time in (600, 1200):
        run = jax.jit(jax.grad(loss_of(layer)))
        compiled = run.lower(*weights_and_inputs(layer, time)).compile()
        sizes.append(compiled.memory_analysis().temp_size_in_bytes)
    assert sizes[0] > 600 * BATCH * UNITS * 4
    assert sizes[1] / sizes[0] < 2.2
