# %% [markdown]
# # Professor Forcing
#
# A generator is trained on data but runs on its own output. This tutorial shows how the
# two differ, trains a generator against a discriminator that looks for the difference,
# and measures whether this helped. Here, as on most data we tried, it helps little.
#
# ## The idea
#
# In training, each step reads the true previous step (teacher forcing). In use, it
# reads its own sample (free running). A small error may lead to a state never seen in
# training, and from there to a larger error.

# %% tags=["picture"]
import matplotlib.pyplot as plt
import numpy as np

time = np.linspace(0, 4 * np.pi, 200)
drift = np.exp(0.22 * time) / 30
figure, axis = plt.subplots(figsize=(8, 3), layout="constrained")
axis.plot(time, np.sin(time), color="#888888", lw=5, alpha=0.4, label="data")
axis.plot(
    time,
    np.sin(time) + 0.04 * np.sin(9 * time),
    color="#41679b",
    label="teacher forcing: put right at each step",
)
axis.plot(
    time,
    np.sin(time + 2.5 * drift) * (1 + 2 * drift),
    color="#c0392b",
    label="free running: errors add up",
)
axis.legend(loc="upper left", ncol=3, fontsize=8, frameon=False)
axis.set(title="A sketch, no measurement", ylim=(-2.2, 2.6))
axis.axis("off")
plt.show()

# %% [markdown]
# Professor Forcing runs the generator both ways. Its behavior on data, the states and
# outputs of all steps, is $b$; its behavior in free running is $\hat b$. A
# discriminator $D$ learns to tell them apart. Besides maximizing its likelihood, the
# generator learns to fool the discriminator:
#
# $$
# \mathcal L_D = - \log D(b) - \log \big(1 - D(\hat b)\big), \qquad
# \mathcal L_G = - \log p(x) - \lambda \log D(\hat b)
# $$
#
# [The paper page](../papers/professor-forcing.md) describes the gates and penalties.
#
# ## The data
#
# The data are noisy waves. The generator trains on 30 steps and will run for 120.

# %%
import keras

from keras_seqcredit import layers
from keras_seqcredit import models
from keras_seqcredit import utils

LENGTH, LONG = 30, 120
random = np.random.default_rng(0)
time = 0.3 * np.arange(LENGTH + LONG) + random.uniform(0, 6, (768, 1))
waves = np.sin(time) + random.normal(scale=0.1, size=time.shape)
waves = waves[..., None].astype("float32")
train, test = waves[:512, :LENGTH], waves[512:]

# %% [markdown]
# ## The models
#
# `AutoregressiveRNN` is a recurrent cell with a density on top. `ProfessorForcing` adds
# the discriminator and takes two optimizers. Both methods get the same number of
# updates. `relative_weight=True` keeps the adversarial gradient at a tenth of the
# likelihood gradient.

# %%
EPOCHS = 12


def make_generator():
    keras.utils.set_random_seed(0)
    return models.AutoregressiveRNN(
        keras.layers.GRUCell(32), layers.GaussianHead(1), seed=0
    )


teacher = make_generator()
teacher.compile(keras.optimizers.Adam(3e-3))
teacher.fit(train, batch_size=32, epochs=EPOCHS, verbose=0)

professor = models.ProfessorForcing(
    make_generator(),
    layers.BehaviorDiscriminator(32),
    adversarial_weight=0.1,
    relative_weight=True,
    discriminator_penalty=10.0,
)
professor.compile(
    keras.optimizers.Adam(3e-3), keras.optimizers.Adam(3e-3, beta_1=0.5)
)
history = professor.fit(train, batch_size=32, epochs=EPOCHS, verbose=0).history

# %% [markdown]
# Two figures track the game: how often the discriminator is right, and the share of
# updates in which the generator listens to it. It listens while the accuracy is above
# 0.75.

# %%
figure, axis = plt.subplots(figsize=(8, 2.8), layout="constrained")
for name, label in (
    ("discriminator_accuracy", "accuracy of the discriminator"),
    ("generator_open", "share of updates in which the generator listens"),
):
    axis.plot(range(1, EPOCHS + 1), history[name], marker=".", label=label)
axis.axhline(0.75, color="grey", linestyle=":")
axis.set(xlabel="epoch", ylim=(-0.05, 1.05))
axis.legend()
plt.show()

# %% [markdown]
# ## Free running beside the data
#
# Both generators read 30 steps and then run freely for 120, four times the training
# length.

# %%
generators = {
    "teacher forcing": teacher,
    "Professor Forcing": professor.generator,
}
figure, axes = plt.subplots(
    3, 1, figsize=(8, 5), sharex=True, sharey=True, layout="constrained"
)
rows = slice(0, 4)
axes[0].plot(test[rows, :, 0].T, lw=1)
axes[0].set(title="data")
for axis, (name, generator) in zip(axes[1:], generators.items(), strict=True):
    own = generator.forecast(
        test[rows, :LENGTH], horizon=LONG, num_samples=1, seed=0
    )[:, 0]
    axis.plot(
        np.concatenate([test[rows, :LENGTH], own], axis=1)[..., 0].T, lw=1
    )
    axis.set(title=f"free running after {name}")
for axis in axes:
    axis.axvline(LENGTH, color="grey", linestyle=":")
axes[2].set(xlabel="step")
plt.show()

# %% [markdown]
# Looks may deceive. `drift_by_position` trains a fresh discriminator at each position
# to distinguish free runs from data. An accuracy of 0.5 means that it cannot.

# %%
positions = (1, 4)
figure, axis = plt.subplots(figsize=(8, 3), layout="constrained")
for name, generator in generators.items():
    nats = -generator.log_likelihood(test[:, :LENGTH]).mean()
    found = utils.drift_by_position(
        generator,
        test,
        length=LENGTH,
        positions=positions,
        prompt_steps=LENGTH,
        units=16,
        updates=100,
    )
    accuracies = [found[position]["samples"] for position in positions]
    print(
        f"{name:18} {nats:7.2f} nats   told from data: "
        + ", ".join(f"{accuracy:.2f}" for accuracy in accuracies)
    )
    steps = [position * LENGTH for position in positions]
    axis.plot(steps, accuracies, marker="o", label=name)
axis.axhline(0.5, color="grey", linestyle=":", label="cannot be told")
axis.set(
    xlabel="steps of free running",
    ylabel="accuracy of a\nfresh discriminator",
    ylim=(0.4, 1.05),
)
axis.legend()
plt.show()

# %% [markdown]
# Read the figures above with care: this is one seed of a short training run, and small
# differences mean nothing. When we ran it, the two methods came out close. The waves of
# both generators keep their shape for four times the training length, so there is
# little drift to train against. In most updates, the discriminator is also below the
# accuracy at which the generator listens.
#
# [The results](../results.md#professor-forcing) show the same on other data: teacher
# forcing was mostly as good or better. Measure the drift first. If there is none, there
# is nothing to fix.
#
# ## Use it on your data
#
# First check whether free runs of your generator can be distinguished from data:
#
# ```python
# found = utils.drift_by_position(
#     generator, x_test, length=50, positions=(1, 4), prompt_steps=50
# )
# ```
#
# | what you see | what to do |
# | --- | --- |
# | high from the first position on | try another density, more units, more training |
# | about the same at all positions | nothing; there is no drift |
# | grows with the position | try what [the guide](../guides/drifting-forecaster.md) lists, then this |
#
# For text, use a `CategoricalHead` and an embedding:
#
# ```python
# generator = models.AutoregressiveRNN(
#     keras.layers.GRUCell(256),
#     layers.CategoricalHead(vocabulary_size),
#     embedding=keras.layers.Embedding(vocabulary_size, 32),
# )
# model = models.ProfessorForcing(generator, layers.BehaviorDiscriminator(64))
# model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3))
# model.fit(tokens, epochs=10)
# text = model.generator.generate(length=200, num_samples=4)
# ```
#
# Always train a second generator by teacher forcing for the same time, and compare.
#
# More: [When your forecaster drifts](../guides/drifting-forecaster.md),
# [`ProfessorForcing`](../api/models/ProfessorForcing.md),
# [`AutoregressiveRNN`](../api/models/AutoregressiveRNN.md).
