# %% [markdown]
# # Looking inside with TensorBoard
#
# A loss shows that a network learns, not what it learns. This package's callbacks write
# views for TensorBoard that show it. This tutorial trains two small networks, writes
# the views, and reads them back as pictures, so you see them without opening
# TensorBoard.
#
# ## The idea
#
# A callback inspects the model after an epoch and writes its view to a folder.
# TensorBoard shows all folders side by side.

# %% tags=["picture"]
import matplotlib.pyplot as plt

figure, axis = plt.subplots(figsize=(8, 2.2), layout="constrained")
boxes = (
    (0, "model.fit", "#cfdced"),
    (1, "callbacks\nlook after an epoch", "#f7d9a8"),
    (2, "logs/sab\nlogs/truncated", "#eeeeee"),
    (3, "TensorBoard", "#d9ead3"),
)
for place, name, color in boxes:
    axis.text(
        3 * place,
        0,
        name,
        ha="center",
        va="center",
        bbox={"boxstyle": "round,pad=0.7", "fc": color, "ec": "#888888"},
    )
    if place:
        axis.annotate(
            "",
            (3 * place - 1.3, 0),
            (3 * place - 1.9, 0),
            arrowprops={"arrowstyle": "->", "color": "#41679b", "lw": 2},
        )
axis.set(xlim=(-1.5, 10.3), ylim=(-1, 1))
axis.axis("off")
plt.show()

# %% [markdown]
# ## Train with views
#
# The networks must repeat five symbols after a gap of up to 12 steps, as in
# [the first tutorial](sparse-attentive-backtracking.md). One has attention, the other
# does not; both cut the gradient every 5 steps. Three callbacks watch the training:
#
# - `AttentionMap` draws which past steps each step attends to.
# - `CreditAssignment` measures how far back the gradient of the last loss reaches.
# - `ScheduleLogger` writes what `fit` reports, schedules and hyperparameters.

# %%
import keras

from keras_seqcredit import callbacks
from keras_seqcredit import datasets
from keras_seqcredit import layers

GAP, SYMBOLS, EPOCHS = 12, 5, 7
stream = datasets.copying_memory_stream(
    64, (1, GAP), SYMBOLS, one_hot=True, batches_per_epoch=100, seed=0
)
x_test, y_test = datasets.copying_memory(32, GAP, SYMBOLS, one_hot=True, seed=1)

networks = {}
for name, k_top in (("sab", 5), ("truncated", 0)):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((None, 10)),
            layers.SABLSTM(
                64,
                k_top=k_top,
                k_trunc=5,
                kernel_initializer=keras.initializers.VarianceScaling(
                    9.0, "fan_avg", "uniform", seed=0
                ),
                return_sequences=True,
                name="rnn",
            ),
            keras.layers.Dense(9),
        ]
    )
    model.compile(
        keras.optimizers.Adam(6e-3, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=["accuracy"],
    )
    views = [
        callbacks.CreditAssignment(
            x_test, y_test, f"logs/{name}", frequency=EPOCHS
        ),
        callbacks.ScheduleLogger(f"logs/{name}", {"k_top": k_top}),
    ]
    if k_top:
        views.append(callbacks.AttentionMap(x_test, f"logs/{name}"))
    model.fit(stream, epochs=EPOCHS, callbacks=views, shuffle=False, verbose=0)
    networks[name] = model

# %% [markdown]
# On your machine, you would now run `tensorboard --logdir logs`. Here we read the same
# files with TensorBoard's own reader.

# %%
import io
import pathlib

from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"images": 0})
    return events.Reload()


folders = sorted(
    {str(path.parent) for path in pathlib.Path("logs").glob("**/*tfevents*")}
)
runs = {folder: read(folder) for folder in folders}
for folder, events in runs.items():
    tags = events.Tags()
    print(folder)
    print("    images: ", *tags["images"])
    print("    scalars:", len(tags["scalars"]))


def show(folder, epochs, size):
    events = runs[folder]
    (tag,) = events.Tags()["images"]
    images = events.Images(tag)
    figure, axes = plt.subplots(
        1, len(epochs), figsize=size, squeeze=False, layout="constrained"
    )
    for axis, epoch in zip(axes[0], epochs, strict=True):
        png = images[epoch].encoded_image_string
        axis.imshow(plt.imread(io.BytesIO(png)))
        axis.axis("off")
    plt.show()


# %% [markdown]
# ## What each step reads
#
# This is the `AttentionMap` view after the first epoch and after the last. An arc leads
# from a step to a past step that it attended to; darker arcs mean more attention.

# %%
show("logs/sab/attention_map", (0, -1), (10, 5))

# %% [markdown]
# ## How far credit reaches
#
# This is the `CreditAssignment` view after the last epoch, first with attention, then
# without. It shows the norm of the gradient of the last loss with respect to the state
# at each lag. Without attention, it is exactly 0 beyond the cut. With attention, it
# reaches the first steps.

# %%
show("logs/sab/credit_assignment", (-1,), (8, 4))

# %%
show("logs/truncated/credit_assignment", (-1,), (8, 4))

# %% [markdown]
# TensorBoard has a *Credit* tab for these two views. There you select an epoch, hover
# over a step to isolate its arcs, and compare the gradients of all runs:
#
# ![The Credit tab of TensorBoard](../assets/tensorboard_credit.png)
#
# ## Curves
#
# `ScheduleLogger` uses the same names for every system, so runs line up.

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for name in networks:
    events = runs[f"logs/{name}/schedules"]
    for axis, tag in zip(
        axes, ("objective/loss", "objective/accuracy"), strict=True
    ):
        points = events.Scalars(tag)
        axis.plot(
            [point.step + 1 for point in points],
            [point.value for point in points],
            marker=".",
            label=name,
        )
        axis.set(title=tag, xlabel="epoch")
axes[0].legend()
plt.show()

# %% [markdown]
# ## Use it on your data
#
# Pass `fit` the callback for your model, with held-out examples and a folder:
#
# | model | callback |
# | --- | --- |
# | any with `SABLSTM`, `SABGRU` or `SparseAttentiveRNN` | `AttentionMap(x_test[:4], "logs/run")` |
# | any with a recurrent layer | `CreditAssignment(x_test[:32], y_test[:32], "logs/run")` |
# | `ZForcing` | `LatentMonitor(x_test[:64], "logs/run")` |
# | `VariationalWalkback` | `WalkbackTrajectory(x_test[:64], "logs/run")` |
# | `AutoregressiveRNN`, `ProfessorForcing` | `DynamicsProjector(x_test[:64], "logs/run")` |
# | any that generates | `SampleLogger("logs/run")` |
# | any | `ScheduleLogger("logs/run", {"units": 64})` |
#
# Each takes `frequency`, the number of epochs from one view to the next. The callbacks
# do not use the model's random numbers, so the model trains to the same weights with
# and without them.
#
# More: [all views, with pictures](../guides/looking-inside.md),
# [the callbacks](../api/callbacks/index.md).
