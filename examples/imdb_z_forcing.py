"""Movie reviews, word by word: a language model with latent variables.

The first words of IMDB's reviews. Without help a language model ignores its
latents; it is trained in several ways, see `z_forcing.py`, and its perplexity
is bounded by the evidence lower bound. Each gets its logs for TensorBoard,
`texts.json` with generated reviews and with ones between the latents of two,
and the trained model. The figures go to `result.json`. A run that was killed
goes on where it was, by the same command.

    python examples/imdb_z_forcing.py --data-dir data

`--data-dir` is the folder of `imdb.npz` and `imdb_word_index.json`; without it
Keras downloads both.

References:
    - Goyal et al., "Z-Forcing: Training Stochastic Recurrent Networks", NeurIPS
      2017, arXiv:1711.05411, section 5.3.
"""

import argparse
import math
import pathlib

import common

common.select_backend()

import keras  # noqa: E402
import z_forcing  # noqa: E402

from keras_seqcredit import datasets  # noqa: E402
from keras_seqcredit import layers  # noqa: E402


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data-dir", help="of imdb.npz")
    parser.add_argument("--num-words", type=int, default=5000)
    parser.add_argument("--length", type=int, default=30, help="of a review")
    parser.add_argument("--train-reviews", type=int, default=25_000)
    parser.add_argument("--test-reviews", type=int, default=2_000)
    z_forcing.add_arguments(
        parser,
        epochs=4,
        units=128,
        latent_dim=16,
        learning_rate=2e-3,
        auxiliary_weight=0.01,
        batch_size=64,
        logdir=pathlib.Path("runs/imdb_z_forcing"),
    )
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    (x, _), (x_test, _) = datasets.imdb(
        arguments.num_words, arguments.length, arguments.data_dir
    )
    x, x_test = x[: arguments.train_reviews], x_test[: arguments.test_reviews]
    vocabulary = datasets.imdb_vocabulary(
        arguments.num_words, arguments.data_dir
    )

    def texts(words):
        return [" ".join(vocabulary[word] for word in row) for row in words]

    def read(model, figures, folder):
        words = float((x_test > 0).sum()) / len(x_test)
        figures["words"] = words
        figures["perplexity_bound"] = math.exp(-figures["elbo"] / words)
        a, b = x_test[(x_test > 0).all(axis=1)][:2]
        found = {
            "generated": texts(
                model.generate(arguments.length, 8, seed=arguments.seed)
            ),
            "reviews": texts([a, b]),
            "between": texts(model.interpolate(a, b, 6)),
        }
        common.write_json(folder / "texts.json", found)
        print(f"Perplexity: at most {figures['perplexity_bound']:.1f}")
        for name, lines in found.items():
            print(f"{name}:", *lines, sep="\n  ")

    z_forcing.run(
        "imdb_z_forcing",
        lambda: layers.CategoricalHead(arguments.num_words),
        (x, x_test),
        arguments,
        {
            "length": arguments.length,
            "vocabulary": vocabulary,
            "separator": " ",
        },
        make_embedding=lambda: keras.layers.Embedding(
            arguments.num_words, arguments.units, mask_zero=True
        ),
        more=read,
    )


if __name__ == "__main__":
    main()
