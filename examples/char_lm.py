"""Generates text, character by character, from the network's own samples.

Uses Tiny Shakespeare or the Penn Treebank. A recurrent network is trained in
several ways (see `generators.py`). For each, the script writes logs for
TensorBoard, `samples.txt` and the trained generator. `result.json` has the
results for texts as long as in training, twice and four times as long: bits per
character, the gap between free runs and runs on data, and the share of
generated words that occur in the training text. Run the same command again to
resume a killed run.

    python examples/char_lm.py --data-dir data

`--data-dir` is the folder with `tinyshakespeare.txt.gz`, or with
`ptb.train.txt.gz`, `ptb.valid.txt.gz` and `ptb.test.txt.gz`.

References:
    - Lamb et al., "Professor Forcing: A New Algorithm for Training Recurrent
      Networks", NeurIPS 2016, arXiv:1610.09038, section 4.1.
"""

import argparse
import math
import pathlib

import common

common.select_backend()

import generators  # noqa: E402
import keras  # noqa: E402

from keras_seqcredit import datasets  # noqa: E402
from keras_seqcredit import layers  # noqa: E402
from keras_seqcredit import models  # noqa: E402

TIMES = (1, 2, 4)  # Test lengths, in multiples of the training length.


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--data-dir", required=True, help="folder of the text")
    add("--corpus", choices=("shakespeare", "penn"), default="shakespeare")
    add("--length", type=int, default=50, help="characters per sequence")
    add("--train-characters", type=int, default=1_000_000)
    add("--test-characters", type=int, default=50_000)
    add("--num-samples", type=int, default=100, help="texts to write")
    generators.add_arguments(
        parser,
        epochs=8,
        units=128,
        batch_size=64,
        learning_rate=3e-3,
        logdir=pathlib.Path("runs/char_lm"),
    )
    return parser.parse_args()


def load_data(arguments):
    """Training characters, test characters and the vocabulary."""
    if arguments.corpus == "penn":
        (train, _, test), vocabulary = datasets.penn_treebank(
            arguments.data_dir
        )
    else:
        (train, test), vocabulary = datasets.tiny_shakespeare(
            arguments.data_dir
        )
    train = train[: arguments.train_characters]
    return train, test[: arguments.test_characters], vocabulary


def cut(characters, length):
    """`(sequences, length)`; drops an incomplete last sequence."""
    return characters[: len(characters) // length * length].reshape(-1, length)


def share_of_words(texts, known) -> float:
    """Share of the whole words in texts that are known."""
    # The first and last words may be cut off.
    words = [word for text in texts for word in text.split()[1:-1]]
    return sum(word in known for word in words) / max(len(words), 1)


def main() -> None:
    arguments = parse_arguments()
    train, test, vocabulary = load_data(arguments)

    def text_of(characters) -> str:
        return "".join(vocabulary[character] for character in characters)

    known = set(text_of(train).split())

    def make_generator(sampling_probability):
        return models.AutoregressiveRNN(
            keras.layers.GRUCell(arguments.units),
            layers.CategoricalHead(len(vocabulary)),
            embedding=keras.layers.Embedding(len(vocabulary), 32),
            sampling_probability=sampling_probability,
            seed=arguments.seed,
        )

    def write(generator, figures, folder):
        figures["by_length"] = {}
        for times in TIMES:
            length = times * arguments.length
            found = generators.measure(generator, cut(test, length), arguments)
            texts = [
                text_of(row)
                for row in generator.generate(
                    length=length,
                    num_samples=arguments.num_samples,
                    seed=arguments.seed,
                )
            ]
            bits = found["nll"] / length / math.log(2)
            figures["by_length"][str(length)] = {
                "bits_per_character": bits,
                "free_running_gap": found["free_running_gap"],
                "known_words": share_of_words(texts, known),
            }
        (folder / "samples.txt").write_text(
            "\n\n---\n\n".join(texts), encoding="utf-8"
        )
        print("", *texts[:3], sep="\n---\n")

    def column(name, times):
        length = str(times * arguments.length)
        return lambda figures: f"{figures['by_length'][length][name]:.3f}"

    generators.run(
        "char_lm",
        make_generator,
        (cut(train, arguments.length), cut(test, arguments.length)),
        arguments,
        more=write,
        samples={"length": 2 * arguments.length, "vocabulary": vocabulary},
        columns={
            "bits per character": column("bits_per_character", 1),
            **{
                f"{title} at {times}x": column(name, times)
                for title, name in (
                    ("gap", "free_running_gap"),
                    ("known words", "known_words"),
                )
                for times in TIMES
            },
        },
    )


if __name__ == "__main__":
    main()
