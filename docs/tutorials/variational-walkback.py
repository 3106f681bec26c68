# %% [markdown]
# # Variational Walkback
#
# Learn a Markov chain that starts at noise and walks to the data. Here the data are
# points on a ring.
#
# ## The idea
#
# Start at a data point and walk away from it: each step adds noise, and the noise gets
# hotter. The last steps are far from the data. Then train the network to undo every
# step of the walk. A network that can undo each step can walk home from anywhere.

# %% tags=["picture"]
import matplotlib.pyplot as plt
import numpy as np

angles = np.linspace(0, 2 * np.pi, 200)
path = np.array(
    [
        (0.95, -0.31),
        (1.06, -0.22),
        (0.98, -0.02),
        (1.24, 0.12),
        (1.08, 0.46),
        (1.52, 0.62),
        (1.34, 1.16),
        (2.0, 1.5),
    ]
)
figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
for axis, points, title, color in (
    (axes[0], path, "1. walk away, hotter at each step", "#c0392b"),
    (axes[1], path[::-1], "2. learn to undo each step", "#41679b"),
):
    axis.plot(np.cos(angles), np.sin(angles), color="#bbbbbb", lw=6, zorder=1)
    for start, end in zip(points, points[1:], strict=False):
        axis.annotate(
            "",
            end,
            start,
            arrowprops={"arrowstyle": "->", "color": color, "lw": 1.8},
        )
    axis.scatter(*points[0], color=color, zorder=3)
    axis.set(title=title, xlim=(-1.2, 2.2), ylim=(-1.2, 1.8), aspect="equal")
    axis.axis("off")
plt.show()

# %% [markdown]
# One operator $p_T(s' \mid s)$, a normal distribution whose mean and scale come from
# a network, is used in both directions. It walks from $s_0$, a data point, to $s_K$ at
# rising temperatures $T_k$. Training maximizes a lower bound of the log-likelihood:
#
# $$
# \log p(s_0) \ge \mathbb{E} \left[ \log p^*(s_K)
# + \sum_{k=1}^{K} \log \frac{p_{T_k}(s_{k-1} \mid s_k)}{p_{T_k}(s_k \mid s_{k-1})}
# \right]
# $$
#
# To generate, the chain starts from $p^*$, a normal distribution.
# [The paper page](../papers/variational-walkback.md) has the details.
#
# ## The model
#
# `network` maps a state to a state. `GaussianTransition` turns it into the operator,
# and `VariationalWalkback` trains the operator with `fit`.

# %%
import keras

from keras_seqcredit import datasets
from keras_seqcredit import layers
from keras_seqcredit import models

keras.utils.set_random_seed(0)
points = datasets.circle(64_000, seed=0)

network = models.transition_mlp(2, units=(64, 64))
operator = layers.GaussianTransition(network, min_scale=0.02)
model = models.VariationalWalkback(
    operator, num_steps=20, temperature_factor=1.35, seed=0
)
model.compile(keras.optimizers.Adam(2e-3), jit_compile=True)
history = model.fit(points, batch_size=128, epochs=4, verbose=2)

# %% [markdown]
# `bound` is the lower bound, in nats per point. It rises.
#
# ## Walk home
#
# `sample` draws from $p^*$ and cools the chain down; `return_trajectory=True` returns
# every step of the chain.

# %%
chain = model.sample(400, extra_steps=10, return_trajectory=True, seed=0)
moments = np.linspace(0, len(chain) - 1, 5).astype(int)
figure, axes = plt.subplots(1, 5, figsize=(10, 2.5), layout="constrained")
for axis, moment in zip(axes, moments, strict=True):
    axis.plot(np.cos(angles), np.sin(angles), color="#dddddd", lw=5, zorder=1)
    axis.scatter(*chain[moment].T, s=3, color="#41679b", zorder=2)
    axis.set(
        title=f"after {moment} steps",
        xlim=(-2.4, 2.4),
        ylim=(-2.4, 2.4),
        aspect="equal",
        xticks=[],
        yticks=[],
    )
plt.show()

distance = np.abs(np.linalg.norm(chain[-1], axis=-1) - 1)
print(f"median distance to the ring: {np.median(distance):.3f}")

# %% [markdown]
# The points start as noise and end on the ring. The chain learned a field that leads
# there from everywhere: `denoise` takes one step without its noise. Plot that step on a
# grid, and the paths of a few points.

# %%
axis_values = np.linspace(-2, 2, 17)
grid = np.stack(np.meshgrid(axis_values, axis_values), axis=-1)
grid = grid.reshape(-1, 2).astype("float32")
field = np.asarray(model.denoise(grid)) - grid

figure, axis = plt.subplots(figsize=(5.6, 5.6), layout="constrained")
axis.plot(np.cos(angles), np.sin(angles), color="#dddddd", lw=6, zorder=1)
axis.quiver(*grid.T, *field.T, color="#888888", angles="xy", zorder=2)
for walker in range(6):
    axis.plot(*chain[:, walker].T, lw=1.2, alpha=0.8, zorder=3)
    axis.scatter(*chain[-1, walker], s=40, zorder=4)
axis.set(
    title="The learned step, and six walks home",
    xlim=(-2.2, 2.2),
    ylim=(-2.2, 2.2),
    aspect="equal",
)
plt.show()

# %% [markdown]
# ## Use it on your data
#
# The data are rows of floats of any shape:
#
# ```python
# operator = layers.GaussianTransition(
#     models.transition_mlp(num_features, units=(256, 256)), min_scale=0.05
# )
# model = models.VariationalWalkback(operator, num_steps="auto")
# model.adapt(x)  # takes the number of steps from the data
# model.compile("adam")
# model.fit(x, batch_size=128, epochs=20)
# filled = model.inpaint(x[:10], known)  # `known`: which features to keep
# ```
#
# - Set `min_scale` to the noise of your data: it determines how sharp samples are.
# - The walk must reach $p^*$: `scale**2 * temperature_factor**num_steps` should be
#   about the variance of the data.
# - For images, use `models.transition_unet`; for binary data, use
#   `layers.BernoulliTransition`.
#
# More: [A generative Markov chain](../guides/markov-chain.md),
# [`VariationalWalkback`](../api/models/VariationalWalkback.md),
# [results](../results.md#variational-walkback).
