"""Chains and their rivals on MNIST with 14 x 14 pixels."""

import diffusion
import equal_time
import frechet
import gsn
import keras
import numpy as np
import walkback_images
from sklearn.neighbors import KernelDensity

from keras_seqcredit import datasets
from keras_seqcredit import layers
from keras_seqcredit import models

SAMPLES = 1024
FILLED = 1024
# Of the kernel of a Parzen density.
WIDTHS = np.geomspace(0.1, 0.6, 7)


class Mnist:
    """MNIST with 14 x 14 pixels from 0 to 255, or in black and white."""

    def __init__(self, arguments, gray):
        (x, y), (test, test_y) = datasets.sequential_mnist(
            path=arguments.data_dir
        )
        x, test = (
            a.reshape(-1, 14, 2, 14, 2).mean((2, 4))[..., None]
            for a in (x, test)
        )
        x, test = (
            np.round(255 * (a if gray else a > 0.4)).astype("uint8")
            for a in (x, test)
        )
        self.gray = gray
        self.features = frechet.Features(x, y, epochs=2)
        if arguments.validate:
            x, y, test, test_y = x[:-5000], y[:-5000], x[-5000:], y[-5000:]
        self.x, self.test = x, test
        self.answers = test_y
        self.accuracy = self.features.accuracy(test, test_y)

    def states(self, images):
        """Images as the states of a chain."""
        return images if self.gray else np.float32(images) / 255

    def measure(self, samples, path):
        """Measures samples with values from 0 to 1, or gray levels."""
        if samples.dtype != np.uint8:
            samples = np.clip(samples, 0, 1)
            samples = 255 * (samples if self.gray else np.round(samples))
            samples = np.round(samples).astype("uint8")
        walkback_images.draw({path.stem: samples[:64]}, path)
        return {
            "frechet": self.features.distance(samples, self.test[:5000]),
            "nearest_training_image": frechet.nearest(
                samples[:256], self.x[:20_000]
            ),
            "confidence": self.features.confidence(samples),
            "classes": self.features.classes(samples),
            "parzen": self.parzen(samples),
        }

    def parzen(self, samples):
        """Log-density of test images around samples, in nats.

        A Gaussian kernel; other test images choose its width.
        """
        samples, chooses, test = (
            np.float32(x).reshape(len(x), -1) / 255
            for x in (samples, self.test[-500:], self.test[:2000])
        )
        best = max(
            (KernelDensity(bandwidth=width).fit(samples) for width in WIDTHS),
            key=lambda density: density.score(chooses),
        )
        return float(best.score_samples(test).mean())

    def inpaint(self, model, seed, path):
        """Fills in the lower half of test images, beside its mean.

        Mean squared errors are over unknown pixels with values from 0 to 1.
        The mean of several fills estimates what is expected.
        """
        test, number = self.test[:FILLED], 16
        known = np.zeros(test.shape[1:], bool)
        known[: len(known) // 2] = True
        fills = np.stack(
            [
                model.inpaint(self.states(test), known, seed=seed + i)
                for i in range(number)
            ]
        )
        if not self.gray:
            fills = np.round(255 * fills)
        means = np.broadcast_to(self.x.mean(0), test.shape)
        means = np.where(known, test, means)
        panels = {
            "test images": test,
            "known": np.where(known, test, 128),
            "filled in": fills[0],
        }
        walkback_images.draw(
            {k: np.uint8(x[:64]) for k, x in panels.items()}, path
        )

        def error(x):
            return float(np.square((x - test) / 255)[:, ~known].mean())

        def recognized(x):
            return self.features.accuracy(x, self.answers[:FILLED])

        return {
            "error": error(fills[0]),
            "error_of_mean_fill": error(fills.mean(0)),
            "error_of_mean": error(means),
            "recognized": recognized(fills[0]),
            "recognized_with_mean": recognized(means),
            "recognized_in_full": recognized(test),
        }


# For Walkback: steps, the temperature factor and the operator. For a GSN: steps
# of the training walk. For a diffusion model: steps.
STAYS = {"alpha": 0.5, "residual": 0.01}
BINARY = {
    "Walkback, 10 steps": (10, 2.0, {**STAYS, "max_logit": 12.0}),
    "Walkback, 5 steps": (5, 4.0, {**STAYS, "max_logit": 12.0}),
    "Walkback, 20 steps": (20, 1.4, {**STAYS, "max_logit": 12.0}),
    "Walkback, unbounded": (10, 2.0, STAYS),
    "Walkback, no state": (10, 2.0, {"max_logit": 12.0}),
    "GSN, 0.05": (5, 0.05),
    "GSN, 0.1": (5, 0.1),
    "GSN, 0.2": (5, 0.2),
    "GSN, 0.4": (5, 0.4),
    "GSN, 0.6": (5, 0.6),
    "DDPM, 100 steps": (100,),
    "DDPM, 10 steps": (10,),
}
# For Walkback: steps, the first and the last standard deviation of the noise,
# and `level_alpha`.
GRAY = {
    "Walkback, 10 steps": (10, 0.02, 1.8, 0.0),
    "Walkback, 14 steps": (14, 0.02, 1.8, 0.0),
    "Walkback, 30 steps": (30, 0.02, 1.8, 0.0),
    "Walkback, half kept": (14, 0.02, 1.8, 0.5),
    "Walkback, 0.8 kept": (14, 0.02, 1.8, 0.8),
    "Walkback, 0.9 kept": (14, 0.02, 1.8, 0.9),
    "DDPM, 100 steps": (100,),
}


def run(data, arguments, way, seed, folder):
    """Walkback, or a rival, on images of MNIST."""
    keras.utils.set_random_seed(seed)
    steps, *how = (GRAY if data.gray else BINARY)[way]
    if way.startswith("DDPM"):
        return diffusion_of_images(data, arguments, steps, seed, folder)
    if way.startswith("GSN"):
        return gsn_of_images(data, arguments, steps, *how, seed, folder)
    if data.gray:
        operator, factor = gaussian(data, arguments, steps, *how)
    else:
        factor, given = how
        operator = layers.BernoulliTransition(
            image_network(data, arguments, num_steps=steps),
            num_steps=steps,
            use_bias=True,
            **given,
        )
        operator.adapt(data.states(data.x))
    model = models.VariationalWalkback(
        operator,
        steps,
        temperature_factor=factor,
        num_walkers=arguments.walkers,
        dequantize=data.gray,
        seed=seed,
    )
    size = max(arguments.walkers // steps, 1)
    draws = equal_time.Draws(data.states(data.x), size, seed)
    result = {"updates": equal_time.fit(model, draws, arguments, folder)}
    test = data.states(data.test)
    bound = model.log_likelihood_bound(test[:500], 4, 100, seed)
    result["bound"] = float(bound.mean())
    for label, more in [
        ("samples", {}),
        ("3 repeats", {"repeats": 3}),
        ("30 extra steps", {"extra_steps": 30}),
    ]:
        samples = model.sample(SAMPLES, denoise=True, seed=seed, **more)
        result[label] = data.measure(samples, folder / f"{label}.png")
    # Is it the start, or the ladder?
    walked = model.walk(test[:SAMPLES], seed=seed)
    samples = model.sample(start=walked, denoise=True, seed=seed)
    label = "from walked test images"
    result[label] = data.measure(samples, folder / f"{label}.png")
    result["inpainting"] = data.inpaint(model, seed, folder / "inpainting.png")
    return result


def image_network(data, arguments, **given):
    units = (arguments.image_units, arguments.image_units)
    return models.transition_mlp(
        data.x.shape[1:], units, learned_scale=False, residual=False, **given
    )


def gaussian(data, arguments, steps, first, last, level_alpha):
    """A Gaussian operator scaled by level, and the temperature factor."""
    factor = (last / first) ** (2 / (steps - 1))
    operator = layers.GaussianTransition(
        image_network(data, arguments, num_steps=steps),
        scale=first,
        num_steps=steps,
        level_temperatures=factor ** np.arange(steps),
        level_alpha=level_alpha,
    )
    return operator, factor


def diffusion_of_images(data, arguments, steps, seed, folder):
    network = image_network(data, arguments, num_steps=steps)
    model = diffusion.DDPM(network, steps, seed)
    x = np.float32(data.x) / 127.5 - 1
    draws = equal_time.Draws(x, arguments.batch_size, seed)
    result = {"updates": equal_time.fit(model, draws, arguments, folder)}
    samples = (model.sample(SAMPLES, seed=seed) + 1) / 2
    result["samples"] = data.measure(samples, folder / "samples.png")
    if steps > 10:
        samples = model.sample_in(10, SAMPLES, seed, limit=1)
        samples = (samples + 1) / 2
        label = "10 steps of DDIM"
        result[label] = data.measure(samples, folder / f"{label}.png")
    return result


def gsn_of_images(data, arguments, steps, corruption, seed, folder):
    model = gsn.GSN(image_network(data, arguments), corruption, steps, seed)
    # As many images and states per update as Walkback has.
    draws = equal_time.Draws(
        data.states(data.x), arguments.walkers // steps, seed
    )
    result = {"updates": equal_time.fit(model, draws, arguments, folder)}
    for num_steps in (10, 30, 100, 1000):
        samples = model.sample(num_steps, SAMPLES, seed)
        label = f"{num_steps} steps"
        result[label] = data.measure(samples, folder / f"{label}.png")
    return result
