"""Makes the trainings of `trainings/`: files of two epochs, and what follows.

Run once, by the version of the package whose files are to stay readable:

    KERAS_BACKEND=jax python -m tests.saved_models.make_trainings
"""

import json
import pathlib
import shutil

import keras
import numpy as np

from keras_seqcredit import callbacks
from tests import small_systems

FOLDER = pathlib.Path(__file__).parent / "trainings"
NAMES = (
    "sparse_attentive",
    "stochastic",
    "z_forcing",
    "autoregressive",
    "professor_forcing",
    "walkback",
)


def fit(name, backup, epochs):
    """Goes on with the training that `backup` holds, to so many epochs."""
    make = small_systems.SYSTEMS[name]
    model = small_systems.compiled(make)
    history = model.fit(
        *small_systems.data(make),
        batch_size=8,
        epochs=epochs,
        verbose=0,
        callbacks=[callbacks.ExactResume(backup, delete_checkpoint=False)],
    )
    return model, history.history["loss"]


def evaluated(name, model):
    """Output of a model for which nothing is drawn, or its loss."""
    make = small_systems.SYSTEMS[name]
    keras.utils.set_random_seed(0)
    return model.evaluate(
        *small_systems.data(make), batch_size=8, verbose=0, return_dict=True
    )["loss"]


def main():
    """Writes two folders a system, and what comes of them."""
    backend = keras.backend.backend()
    results = {}
    for name in NAMES:
        folder = FOLDER / backend / name
        shutil.rmtree(folder, ignore_errors=True)
        model, losses = fit(name, folder / "state", 2)
        model.save(folder / "model.keras")
        on = folder.with_name("scratch")
        shutil.copytree(folder / "state", on)
        model, later = fit(name, on, 3)
        shutil.rmtree(on)
        loaded = keras.models.load_model(folder / "model.keras")
        results[name] = {
            "losses": [*losses, later[-1]],
            "evaluated": evaluated(name, loaded),
            "weights": [
                float(np.abs(weight).sum()) for weight in model.get_weights()
            ],
        }
    path = FOLDER / f"{backend}.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
