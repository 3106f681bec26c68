"""Times and measures `ProfessorForcing` and generation.

A step is a whole training step of `fit` under jit: forward, backward and Adam,
on a batch of 64 sequences of 100 steps of 50 classes, with a GRU of 256 units
and the default discriminator:

- professor_forcing: the library's model;
- separate: the same losses with a separate pass for each of its parts, see
  `separate_professor_forcing.py`; with the library's layers;
- separate, Keras: the same with Keras' own layers;
- teacher_forcing: an `AutoregressiveRNN` with the same GRU;
- gru: the same with Keras' own layers.

Generation is measured for 1 and for 256 sequences of 200 steps, by one compiled
program or by a call of a Keras network for each step. Results are medians; the
compared variants take turns.

    KERAS_BACKEND=jax python -m examples.benchmarks.professor_forcing

Prints Markdown tables and writes JSON to `--output`.
"""

import argparse
import pathlib
from typing import NamedTuple

from examples.benchmarks.measuring import peaks_of_memory
from examples.benchmarks.measuring import report_peak
from examples.benchmarks.measuring import table
from examples.benchmarks.measuring import time_in_turns
from examples.benchmarks.measuring import training

SECTIONS = ("steps", "generation", "memory")
NETS = (
    "professor_forcing",
    "separate",
    "separate, Keras",
    "teacher_forcing",
    "gru",
)


class Sizes(NamedTuple):
    """Sizes of the timed models."""

    batch: int = 64
    time: int = 100
    vocabulary: int = 50
    embedding: int = 64
    units: int = 256
    discriminator: int = 128
    length: int = 200  # Of generated sequences.
    few: int = 20  # The same for `predict`, which is slow.
    batches: tuple[int, ...] = (1, 256)


SIZES = Sizes()


def make_generator(sizes: Sizes):
    import keras

    from keras_seqcredit.layers import CategoricalHead
    from keras_seqcredit.models import AutoregressiveRNN

    return AutoregressiveRNN(
        keras.layers.GRUCell(sizes.units),
        CategoricalHead(sizes.vocabulary),
        embedding=keras.layers.Embedding(sizes.vocabulary, sizes.embedding),
        seed=0,
    )


def make_model(net: str, sizes: Sizes = SIZES):
    import keras

    from examples.benchmarks import separate_professor_forcing as separate
    from keras_seqcredit.layers import BehaviorDiscriminator
    from keras_seqcredit.models import ProfessorForcing

    keras.utils.set_random_seed(0)
    if net == "gru":
        return keras.Sequential(
            [
                keras.layers.Embedding(sizes.vocabulary, sizes.embedding),
                keras.layers.GRU(
                    sizes.units, return_sequences=True, use_cudnn=False
                ),
                keras.layers.Dense(sizes.vocabulary),
            ]
        )
    generator = make_generator(sizes)
    if net == "teacher_forcing":
        return generator
    if net == "separate, Keras":
        judge = separate.keras_discriminator(sizes.discriminator)
        return separate.SeparateProfessorForcing(
            generator, judge, keras_loop=True
        )
    kind = ProfessorForcing
    if net == "separate":
        kind = separate.SeparateProfessorForcing
    return kind(generator, BehaviorDiscriminator(sizes.discriminator))


def make_steps(net: str, steps: int = 1, sizes: Sizes = SIZES):
    """A function that trains `steps` steps."""
    import keras
    import numpy as np

    model = make_model(net, sizes)
    shape = sizes.batch, sizes.time
    model.build(shape)
    random = np.random.default_rng(0)
    data = (random.integers(0, sizes.vocabulary, shape).astype("int32"),)
    loss = {}
    if net == "gru":
        data = (np.pad(data[0][:, :-1], [(0, 0), (1, 0)]), data[0])
        loss["loss"] = keras.losses.SparseCategoricalCrossentropy(True)
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=True, **loss)
    return training(model, data, steps)


def make_generations(batch: int, sizes: Sizes = SIZES) -> dict:
    """Functions that generate, and the number of steps of each."""
    import numpy as np

    from examples.benchmarks import step_by_step_generation as step_by_step

    generator = make_generator(sizes)
    generator.build((batch, sizes.time))
    net = step_by_step.make_net(sizes.vocabulary, sizes.embedding, sizes.units)
    random = np.random.default_rng(0)

    def predict(x):
        return net.predict(x, verbose=0)

    def by(predict, steps):
        return lambda: step_by_step.generate(net, batch, steps, predict, random)

    return {
        "generate": (
            lambda: generator.generate(length=sizes.length, num_samples=batch),
            sizes.length,
        ),
        "predict_on_batch": (
            by(net.predict_on_batch, sizes.length),
            sizes.length,
        ),
        "predict": (by(predict, sizes.few), sizes.few),
    }


def time_generation(batch: int, repeats: int, sizes: Sizes = SIZES) -> dict:
    made = make_generations(batch, sizes)
    found = time_in_turns({k: call for k, (call, _) in made.items()}, repeats)
    for name, figures in found.items():
        steps = made[name][1]
        figures["steps"] = steps
        figures["tokens_a_second"] = batch * steps / figures["median"]
    return found


def table_of_generation(found: dict) -> str:
    lines = [
        "### Generation",
        "",
        "| sequences | way | tokens per second | times as fast by generate "
        "| first call, seconds |",
        "| ---: | --- | ---: | ---: | ---: |",
    ]
    for batch, figures in found.items():
        best = figures["generate"]["tokens_a_second"]
        for name, values in figures.items():
            speed = values["tokens_a_second"]
            lines.append(
                f"| {batch} | {name} | {speed:,.0f} | {best / speed:.1f} "
                f"| {values['first_call']:.1f} |"
            )
    return "\n".join([*lines, ""])


def ratios(figures: dict) -> dict:
    """How fast our step is, relative to each other network's."""
    median = {net: figures[net]["median"] for net in figures}
    ours = median["professor_forcing"]
    return {
        "times_as_fast_as_separate": median["separate"] / ours,
        "times_as_fast_as_separate_keras": median["separate, Keras"] / ours,
        "times_as_slow_as_teacher_forcing": ours / median["teacher_forcing"],
        "times_as_slow_as_gru": ours / median["gru"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--steps", type=int, default=5, help="per `fit`")
    parser.add_argument("--output", default="runs/benchmarks")
    parser.add_argument(
        "--sections", nargs="+", default=SECTIONS, choices=SECTIONS
    )
    parser.add_argument("--measure", choices=NETS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        report_peak(lambda: None, make_steps(arguments.measure))
        return

    import keras

    from examples.common import describe_machine
    from examples.common import write_json

    result = {"machine": describe_machine(), "sizes": SIZES._asdict()}
    if "steps" in arguments.sections:
        calls = {net: make_steps(net, arguments.steps) for net in NETS}
        found = time_in_turns(calls, arguments.repeats, arguments.steps)
        result["step"] = found
        title = "A training step of Professor Forcing"
        print(table(title, found, "professor_forcing"))
        for name, ratio in ratios(found).items():
            result[name] = ratio
            print(f"- {name.replace('_', ' ')}: {ratio:.2f}")
        print(flush=True)
    if "generation" in arguments.sections:
        result["generation"] = {
            batch: time_generation(batch, max(3, arguments.repeats // 2), SIZES)
            for batch in SIZES.batches
        }
        print(table_of_generation(result["generation"]), flush=True)
    if "memory" in arguments.sections:
        result["memory"] = peaks_of_memory(__spec__.name, NETS)
    backend = keras.backend.backend()
    path = pathlib.Path(arguments.output) / f"professor_forcing_{backend}.json"
    write_json(path, result)
    print(f"\n{path}")


if __name__ == "__main__":
    main()
