"""Trains every system in one of several processes, with a device each.

    python -m tests.two_processes FOLDER HOST:PORT PROCESSES PROCESS

Writes what has come out to `FOLDER/PROCESS.npz`.
"""

import pathlib
import sys

import keras
import numpy as np

from tests import small_systems

BATCH_SIZE, EPOCHS = 16, 2
SYSTEMS = {**small_systems.SYSTEMS, "sab_lstm": small_systems.sab_lstm}


def main(folder, coordinator, processes, process):
    import jax

    processes, process = int(processes), int(process)
    jax.distributed.initialize(
        coordinator, processes, process, initialization_timeout=60
    )
    assert jax.device_count() == jax.process_count() == processes
    # Each process makes its own part of the batches.
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(auto_shard_dataset=False)
    )
    found = trained(process, processes)
    np.savez(pathlib.Path(folder) / f"{process}.npz", **found)


def trained(process=0, processes=1):
    """Losses, weights and the state of optimizers."""
    found = {}
    for name, make in SYSTEMS.items():
        model = small_systems.compiled(make, optimizer=small_systems.sgd)
        history = model.fit(
            *(part(a, process, processes) for a in small_systems.data(make)),
            batch_size=BATCH_SIZE // processes,
            epochs=EPOCHS,
            shuffle=False,
            verbose=0,
        ).history
        for key, values in history.items():
            found[f"{name} {key}"] = np.array(values)
        state = [*model.weights, *model.optimizer.variables]
        # By number: Keras counts on in names, in each process for itself.
        for i, v in enumerate(state):
            found[f"{name} {i}"] = keras.ops.convert_to_numpy(v)
    return found


def part(array, process, processes):
    """The rows of a process in each batch."""
    rows = BATCH_SIZE // processes
    batches = array.reshape(-1, processes, rows, *array.shape[1:])
    return batches[:, process].reshape(-1, *array.shape[1:])


if __name__ == "__main__":
    main(*sys.argv[1:])
