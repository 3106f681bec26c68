# %% [markdown]
# # Z-Forcing
#
# A recurrent network with a latent variable at each step often ignores it: the
# posterior collapses to the prior. This tutorial shows that collapse, how an auxiliary
# cost brings the latents to life, and what that costs.
#
# ## The idea
#
# A second network reads the sequence backward, so its state knows the future. The
# latent of a step is drawn from a posterior that sees this state, and must then predict
# it. A latent that carries no information cannot.

# %% tags=["picture"]
import matplotlib.pyplot as plt

figure, axis = plt.subplots(figsize=(8, 3.8), layout="constrained")
rows = (
    (0, "data", "#eeeeee"),
    (1, "forward network", "#cfdced"),
    (2, "latent", "#f7d9a8"),
    (3, "backward network", "#d9ead3"),
)
blue, red = "#41679b", "#c0392b"


def arrow(start, end, color=blue, bend=0.0, width=1.4):
    style = {
        "arrowstyle": "->",
        "color": color,
        "lw": width,
        "shrinkA": 13,
        "shrinkB": 13,
        "connectionstyle": f"arc3,rad={bend}",
    }
    axis.annotate("", end, start, arrowprops=style)


for height, name, color in rows:
    axis.text(-0.6, height, name, ha="right", va="center")
    for step in range(5):
        axis.scatter(step, height, s=520, color=color, edgecolor="#888888")
for step in range(5):
    arrow((step, 3), (step, 2))
    arrow((step, 2), (step, 1))
    arrow((step, 1), (step, 0))
    arrow((step, 0), (step, 3), "#bbbbbb", bend=0.28, width=1.0)
    arrow((step, 2), (step, 3), red, bend=0.45, width=2.0)
    if step < 4:
        arrow((step, 1), (step + 1, 1))
        arrow((step + 1, 3), (step, 3))
axis.text(
    4.35, 2.5, "auxiliary cost:\npredict that state", color=red, va="center"
)
axis.set(xlim=(-2.2, 5.8), ylim=(-0.5, 3.5))
axis.axis("off")
plt.show()

# %% [markdown]
# With forward states $h_t$, backward states $b_t$ and latents $z_t$, the loss of a
# sequence is
#
# $$
# \mathcal L = \sum_t - \log p(x_t \mid h_t)
#   + \operatorname{KL}\big(q(z_t \mid h_{t-1}, b_t) \,\|\, p(z_t \mid h_{t-1})\big)
#   - \alpha \log r(b_t \mid z_t)
# $$
#
# The first two terms are the evidence lower bound (ELBO), with its sign changed. The
# third is the auxiliary cost; it treats $b_t$ as a constant. The KL divergence shows
# how many nats the latents carry: at 0 they are ignored.
# [The paper page](../papers/z-forcing.md) has all details.
#
# ## The data
#
# The data are walks that go up or down by 0.5 at each step, plus a little noise. The
# past does not tell which way a step goes; the future does.

# %%
import keras
import numpy as np

STEPS = 20
random = np.random.default_rng(0)
ups = random.choice([-1.0, 1.0], (2048, STEPS))
walks = 0.5 * np.cumsum(ups, axis=1) + random.normal(scale=0.05, size=ups.shape)
walks = walks[..., None].astype("float32")
x_train, x_test = walks[:1024], walks[1024:]

figure, axis = plt.subplots(figsize=(8, 2.4), layout="constrained")
axis.plot(x_train[:5, :, 0].T, marker=".", lw=1)
axis.set(title="five walks", xlabel="step")
plt.show()

# %% [markdown]
# ## The model
#
# `StochasticRNN` holds the prior, the posterior and the backward network. The head is
# the density of a step, a normal distribution. It cannot express "up or down": it is
# wide unless a latent gives the direction. `ZForcing` trains both with `fit`. Train it
# twice: without and with the auxiliary cost.

# %%
from keras_seqcredit import layers
from keras_seqcredit import models

EPOCHS = 15
ways = {
    "without": {},
    "with auxiliary cost": {"auxiliary_weight": 0.05, "backward_weight": 0.05},
}
trained, history = {}, {}
for name, weights in ways.items():
    keras.utils.set_random_seed(0)
    model = models.ZForcing(
        layers.StochasticRNN(32, latent_dim=4, seed=0),
        layers.GaussianHead(1),
        seed=0,
        **weights,
    )
    model.compile(
        keras.optimizers.Adam(3e-3, epsilon=1e-5, global_clipnorm=100.0)
    )
    trained[name] = model
    history[name] = model.fit(
        x_train, batch_size=64, epochs=EPOCHS, verbose=0
    ).history

# %% [markdown]
# ## What the latents carry
#
# In nats per walk of the test set:

# %%
for name, model in trained.items():
    found = model.evaluate(x_test, batch_size=64, verbose=0, return_dict=True)
    print(
        f"{name:20} KL {found['kl']:6.2f}   "
        f"active units {found['active_units']:.0f} of 4   "
        f"ELBO {found['elbo']:.1f}"
    )

# %%
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
for name, values in history.items():
    epochs = range(1, EPOCHS + 1)
    axes[0].plot(epochs, values["kl"], marker=".", label=name)
axes[0].set(title="KL divergence in training", xlabel="epoch", ylabel="nats")
axes[0].legend()

terms = {name: model(x_test) for name, model in trained.items()}
maps = {
    name: keras.ops.convert_to_numpy(found["kl"]).mean(axis=0)
    for name, found in terms.items()
}
highest = max(values.max() for values in maps.values())
for axis, (name, values) in zip(axes[1:], maps.items(), strict=True):
    image = axis.imshow(
        values.T, aspect="auto", vmin=0, vmax=highest, cmap="viridis"
    )
    axis.set(
        title=name, xlabel="step", ylabel="latent dimension", yticks=range(4)
    )
figure.colorbar(image, ax=axes[2], label="nats")
plt.show()

# %% [markdown]
# Without the auxiliary cost, the latents start to carry information and then fall
# silent: the bound pays for every nat, so ignoring them is cheaper. With the auxiliary
# cost, they are used at every step.
#
# **This has a price.** The bound is lower with the auxiliary cost than without. We
# found the same on other data; see [the results](../results.md#z-forcing). A higher KL
# divergence alone is not a success. Use Z-Forcing if you need latents that carry
# information, to control generation or as features.
#
# What do the latents carry? `shift` is the distance of the posterior's mean from the
# prior's, in the prior's standard deviations. A latent is drawn around it, so add noise
# of one standard deviation. Then use linear regression to predict whether the step goes
# up:

# %%
up = (ups[1024:] > 0).astype("float64")
figure, axis = plt.subplots(figsize=(8, 3), layout="constrained")
for name, found in terms.items():
    latent = keras.ops.convert_to_numpy(found["shift"]).astype("float64")
    latent += random.normal(size=latent.shape)
    accuracy = []
    for step in range(STEPS):
        features = np.c_[latent[:, step], np.ones(len(latent))]
        half = len(latent) // 2
        weights = np.linalg.lstsq(
            features[:half], up[:half, step] - 0.5, rcond=None
        )[0]
        guess = features[half:] @ weights > 0
        accuracy.append((guess == up[half:, step]).mean())
    axis.plot(accuracy, marker="o", label=name)
axis.axhline(0.5, color="grey", linestyle=":", label="chance")
axis.set(
    title="Which way does the walk go? Read from the latent of the step",
    xlabel="step",
    ylabel="accuracy",
    ylim=(0.4, 0.8),
)
axis.legend()
plt.show()

# %% [markdown]
# Ignored latents tell nothing. Latents trained with the auxiliary cost tell which way
# the walk goes, though not reliably: their target is the backward state, which
# summarizes all steps to come, not this one alone.
#
# ## Use it on your data
#
# Sequences are arrays `(batch, time, features)`, or integers `(batch, time)` with an
# `embedding`:
#
# ```python
# model = models.ZForcing(
#     layers.StochasticRNN(128, latent_dim=16),
#     layers.GaussianHead(num_features),
#     kl_weight=schedules.LinearSchedule(0.2, 1.0, steps=2000),
#     auxiliary_weight=0.01,
#     backward_weight=0.01,
# )
# model.compile("adam")
# model.fit(x, epochs=20, callbacks=[callbacks.LatentMonitor(x_test, "logs")])
# samples = model.generate(length=50, num_samples=4)
# ```
#
# - Check first: if `kl` is well above 0 without Z-Forcing, you do not need it.
# - Compare models by `elbo`, never by `loss`, which includes the weights.
# - Try a rising `kl_weight` and `free_bits` before Z-Forcing, or together with it.
#
# More: [Posterior collapse](../guides/posterior-collapse.md),
# [`ZForcing`](../api/models/ZForcing.md), [results](../results.md#z-forcing).
