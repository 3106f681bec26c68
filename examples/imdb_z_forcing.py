"""Movie reviews, word by word: a language model with latent variables.

The data are the first words of IMDB reviews. Without help, a language model
ignores its latents. Here it is trained in several ways (see `z_forcing.py`),
and its perplexity is bounded by the evidence lower bound. A linear probe,
logistic regression of the sentiment, measures what its latents encode about a
review (see `summaries`). The means of a collapsed posterior also carry
information, but are much smaller than its noise: only its samples matter. For
each way, the script writes logs for TensorBoard, `texts.json` with generated
reviews and interpolations between the latents of two, and the trained model.
Results go to `result.json`. Run the same command again to resume a killed run.

    python examples/imdb_z_forcing.py --data-dir data

`--data-dir` is the folder with `imdb.npz` and `imdb_word_index.json`; without
it, Keras downloads both.

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
import numpy as np  # noqa: E402
import z_forcing  # noqa: E402
from keras import ops  # noqa: E402

from keras_seqcredit import backend  # noqa: E402
from keras_seqcredit import datasets  # noqa: E402
from keras_seqcredit import layers  # noqa: E402

PROBE_BATCH = 400


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data-dir", help="folder of imdb.npz")
    parser.add_argument("--num-words", type=int, default=5000)
    parser.add_argument(
        "--length", type=int, default=30, help="words per review"
    )
    parser.add_argument("--train-reviews", type=int, default=25_000)
    parser.add_argument("--test-reviews", type=int, default=2_000)
    parser.add_argument(
        "--probe-reviews", type=int, default=5_000, help="to fit the probe on"
    )
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


def probe(features, labels, test_features, test_labels) -> float:
    """Accuracy of logistic regression on reviews it has not seen."""
    from sklearn import linear_model
    from sklearn import pipeline
    from sklearn import preprocessing

    classifier = pipeline.make_pipeline(
        preprocessing.StandardScaler(),
        linear_model.LogisticRegression(max_iter=1000, C=0.1),
    )
    classifier.fit(features, labels)
    return float(classifier.score(test_features, test_labels))


def summaries(model, words) -> dict[str, np.ndarray]:
    """Means over the steps of each review, `(reviews, features)`.

    - `means`: the posterior's means;
    - `shift`: their distance from the prior's means, in the prior's standard
      deviations;
    - `samples`: the same for sampled latents, which are all that the decoder
      knows of the future;
    - `states`: states of the backward network, from which latents are drawn.
    """

    def of_batch(words):
        found, _ = model.infer(model.read(words))
        mean, log_variance = ops.split(found.prior, 2, axis=-1)
        posterior, _ = ops.split(found.posterior, 2, axis=-1)
        scale = ops.exp(log_variance / 2)
        steps = {
            "means": posterior,
            "shift": (posterior - mean) / scale,
            "samples": (found.latents - mean) / scale,
            "states": found.evidence,
        }
        valid = ops.cast(words > 0, mean.dtype)
        weights = valid / ops.maximum(ops.sum(valid, 1, keepdims=True), 1.0)
        return {
            name: ops.sum(values * weights[..., None], axis=1)
            for name, values in steps.items()
        }

    run = backend.jit(of_batch, model, optimize=False)
    size = min(PROBE_BATCH, len(words))
    parts = []
    for start in range(0, len(words), size):
        batch = words[start : start + size]
        # One shape needs one program.
        batch = np.pad(batch, [(0, size - len(batch)), (0, 0)])
        parts.append(run(ops.convert_to_tensor(batch)))
    return {
        name: np.concatenate([part[name] for part in parts])[: len(words)]
        for name in parts[0]
    }


def counts(words, num_words):
    """Which words occur, `(reviews, num_words)`."""
    found = np.zeros((len(words), num_words), "float32")
    found[np.arange(len(words))[:, None], words] = 1
    return found


def main() -> None:
    arguments = parse_arguments()
    (x, y), (x_test, y_test) = datasets.imdb(
        arguments.num_words, arguments.length, arguments.data_dir
    )
    x, x_test = x[: arguments.train_reviews], x_test[: arguments.test_reviews]
    y_test = y_test[: arguments.test_reviews]
    x_probe = x[: arguments.probe_reviews]
    y_probe = y[: len(x_probe)]
    vocabulary = datasets.imdb_vocabulary(
        arguments.num_words, arguments.data_dir
    )

    def texts(words):
        return [" ".join(vocabulary[word] for word in row) for row in words]

    def probes(model, name):
        given, asked = (summaries(model, x) for x in (x_probe, x_test))
        return {
            f"{name}{kind}": probe(features, y_probe, asked[kind], y_test)
            for kind, features in given.items()
        }

    def references(model):
        """Probes of the words, and of an untrained network's latents."""
        features, others = (
            counts(words, arguments.num_words) for words in (x_probe, x_test)
        )
        keras.utils.set_random_seed(arguments.seed)
        untrained = type(model).from_config(model.get_config())
        untrained(x_test[:1])
        return {
            "words": probe(features, y_probe, others, y_test),
            **probes(untrained, "untrained_"),
        }

    def read(model, figures, folder):
        words = float((x_test > 0).sum()) / len(x_test)
        figures["words"] = words
        figures["perplexity_bound"] = math.exp(-figures["elbo"] / words)
        figures["probe"] = {**references(model), **probes(model, "")}
        a, b = x_test[(x_test > 0).all(axis=1)][:2]
        found = {
            "generated": texts(
                model.generate(
                    length=arguments.length, num_samples=8, seed=arguments.seed
                )
            ),
            "reviews": texts([a, b]),
            "between": texts(model.interpolate(a, b, steps=6)),
        }
        common.write_json(folder / "texts.json", found)
        print(f"Perplexity: at most {figures['perplexity_bound']:.1f}")
        print(f"Accuracy of the probe: {figures['probe']}")
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
