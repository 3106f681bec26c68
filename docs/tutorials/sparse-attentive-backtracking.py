# %% [markdown]
# # Sparse Attentive Backtracking
#
# A recurrent network reads symbols, waits, and must then repeat them. Truncated
# back-propagation cannot teach it that: the gradient stops before it reaches the
# symbols. Here `SABLSTM` learns it with a gradient that is cut every 5 steps.
#
# ## The idea
#
# Each step may attend to a few past states. The gradient follows the attention and
# skips the steps in between.

# %% tags=["picture"]
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch

figure, axes = plt.subplots(2, 1, figsize=(8, 3.4), layout="constrained")
titles = (
    "Truncated back-propagation: the gradient stops after 5 steps",
    "Sparse Attentive Backtracking: it also jumps to the states that were read",
)
for axis, title in zip(axes, titles, strict=True):
    axis.scatter(range(24), np.zeros(24), s=90, color="#cccccc", zorder=3)
    axis.scatter(2, 0, s=90, color="#41679b", zorder=4)
    axis.scatter(23, 0, s=90, color="#c0392b", zorder=4)
    for step in range(18, 23):
        axis.annotate(
            "",
            (step, 0),
            (step + 1, 0),
            arrowprops={"arrowstyle": "->", "color": "#c0392b", "lw": 2},
            zorder=5,
        )
    axis.text(2, -0.75, "cause", ha="center")
    axis.text(23, -0.75, "loss", ha="center")
    axis.set(title=title, xlim=(-1, 24), ylim=(-1, 2.2))
    axis.axis("off")
axes[1].add_patch(
    FancyArrowPatch(
        (23, 0.2),
        (2, 0.2),
        connectionstyle="arc3,rad=0.15",
        arrowstyle="->",
        mutation_scale=16,
        color="#c0392b",
        lw=2,
    )
)
plt.show()

# %% [markdown]
# Step $t$ scores the states in memory, keeps the `k_top` best, and reads their
# weighted sum:
#
# $$
# r_t = \sum_{i \in \operatorname{top}_k(a_t)} w_{t,i} \, m_i
# $$
#
# $m_i$ is a past state, $a_t$ are the scores of step $t$, and $w_t$ the weights made
# from the best of them. All other weights are exactly 0, so no gradient goes there.
# [The paper page](../papers/sparse-attentive-backtracking.md) has the full definition.
#
# ## The data
#
# In the copying problem five symbols arrive, then blanks, then a marker. After the
# marker the network has to repeat the symbols. Each sequence has its own random gap of
# 1 to 20 steps.

# %%
import keras

from keras_seqcredit import datasets
from keras_seqcredit import layers
from keras_seqcredit import utils

SYMBOLS, VOCABULARY = 5, 8

keras.utils.set_random_seed(0)


class Copying(keras.utils.PyDataset):
    """Fresh sequences; half of the weight is on the steps that recall."""

    def __init__(self):
        super().__init__()
        self.stream = datasets.copying_memory_stream(
            batch_size=64,
            length=(1, 20),
            num_symbols=SYMBOLS,
            vocabulary=VOCABULARY,
            one_hot=True,
            batches_per_epoch=100,
            seed=0,
        )

    def __len__(self):
        return len(self.stream)

    def __getitem__(self, index):
        x, y, real = self.stream[index]
        recall, other = y > 0, real * (y == 0)
        weights = recall / SYMBOLS + other / other.sum(axis=1, keepdims=True)
        return x, y, weights * y.shape[1] / 2

    def on_epoch_end(self):
        self.stream.on_epoch_end()


# %% [markdown]
# ## The model
#
# `SABLSTM` replaces an LSTM. `k_trunc=5` cuts the gradient every 5 steps. `k_top` is
# the number of past states that a step may read; with `k_top=0` the layer is an LSTM
# under truncated back-propagation, our baseline.
#
# The input kernel is initialized three times as wide as usual, because otherwise
# one-hot inputs hardly change the state.
# [Long dependencies](../guides/long-dependencies.md) explains each setting.


# %%
def build_model(k_top, epochs=8):
    model = keras.Sequential(
        [
            keras.Input((None, VOCABULARY + 2)),
            layers.SABLSTM(
                64,
                k_top=k_top,
                k_trunc=5,
                kernel_initializer=keras.initializers.VarianceScaling(
                    9.0, "fan_avg", "uniform", seed=0
                ),
                return_sequences=True,
                name="sab",
            ),
            keras.layers.Dense(VOCABULARY + 1),
        ]
    )
    rate = keras.optimizers.schedules.CosineDecay(6e-3, 100 * epochs)
    model.compile(
        keras.optimizers.Adam(rate, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


trained, losses = {}, {}
for name, k_top in (("SABLSTM", 5), ("without attention", 0)):
    model = build_model(k_top)
    history = model.fit(Copying(), epochs=8, shuffle=False, verbose=0)
    trained[name], losses[name] = model, history.history["loss"]
    print(f"{name}: loss {losses[name][0]:.3f} -> {losses[name][-1]:.3f}")

# %% [markdown]
# ## What it learned
#
# Test both networks on new sequences, including gaps longer than in training. Chance is
# one in eight.

# %%
gaps = (5, 10, 20, 40, 60, 100)
accuracy = {name: [] for name in trained}
for gap in gaps:
    x, y = datasets.copying_memory(
        128, gap, SYMBOLS, VOCABULARY, one_hot=True, seed=1
    )
    padding = max(gaps) - gap  # One length: the network compiles once.
    x = np.pad(x, [(0, 0), (0, padding), (0, 0)])
    recall = slice(gap + SYMBOLS, gap + 2 * SYMBOLS)
    for name, model in trained.items():
        answers = model.predict(x, batch_size=128, verbose=0).argmax(axis=-1)
        right = answers[:, recall] == y[:, recall]
        accuracy[name].append(float(right.mean()))

figure, axis = plt.subplots(figsize=(8, 3.6), layout="constrained")
for name, values in accuracy.items():
    axis.plot(gaps, values, marker="o", label=name)
axis.axhline(1 / VOCABULARY, color="grey", linestyle=":", label="chance")
axis.axvspan(0, 20, color="grey", alpha=0.15, label="gaps of training")
axis.set(xlabel="gap", ylabel="symbols recalled", ylim=(0, 1.05), xlim=(0, 102))
axis.legend(loc="center right")
plt.show()

# %% [markdown]
# The network with attention recalls its symbols, even far beyond the gaps it was
# trained on. The same network without attention forgets: its state can hold a little
# for a while, but no gradient ever told it what to keep.
#
# To see what the layer reads, copy it with `return_attention=True` and plot one
# sequence with a gap of 40 steps.

# %%
layer = trained["SABLSTM"].get_layer("sab")
reader = layers.SABLSTM.from_config(
    {**layer.get_config(), "return_attention": True}
)
reader.build((None, None, VOCABULARY + 2))
reader.set_weights(layer.get_weights())

x, _ = datasets.copying_memory(1, 40, SYMBOLS, VOCABULARY, one_hot=True, seed=2)
_, slots, weights = reader(x)
utils.plot_attention(
    keras.ops.convert_to_numpy(slots)[0],
    keras.ops.convert_to_numpy(weights)[0],
    inputs=x[0],
    title="Recall after a gap of 40 steps",
)

# %% [markdown]
# The last steps attend to the first ones, where the symbols arrived. The gradient took
# that path in training.
#
# ## Use it on your data
#
# Replace the LSTM in your model, and keep the rest:
#
# ```python
# model = keras.Sequential(
#     [
#         keras.Input((None, num_features)),
#         layers.SABLSTM(64, k_top=5, k_att=2, k_trunc=10),
#         keras.layers.Dense(num_classes),
#     ]
# )
# ```
#
# - `k_trunc` must span the steps that belong together at the event, not the distance to
#   it.
# - `k_att=2` stores every second state, which halves the memory.
# - Train on many lengths, short ones included.
# - Watch the attention with `callbacks.AttentionMap`; see
#   [Looking inside with TensorBoard](looking-inside-with-tensorboard.py).
# - If full attention over your whole sequence fits, start there.
#
# More: [which settings to use](../guides/long-dependencies.md),
# [`SABLSTM`](../api/layers/recurrent/SABLSTM.md),
# [results over lengths and seeds](../results.md#copying-memory).
