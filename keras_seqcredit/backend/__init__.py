"""Functions that Keras' public API lacks, once per backend.

Every backend module has the same functions:

- `scan(body, carry, xs, length, reverse=False)`: a loop over the leading axis
  that works under XLA, with an unknown length, and stacks outputs of any shape;
- `vjp(function, *args, has_aux=False)`: outputs of `function` and its pullback;
- `custom_gradient(forward, backward, operands, constants, jit_compile,
  batch_axes=None)`: calls `forward` and differentiates it with `backward`;
- `differentiated_twice()`: a context for code with a second derivative;
- `per_shard(function, args, batch_axes)`: each device on its shard of a batch;
- `jit(function, layer, optimize=True)`: `function`, compiled, with the current
  variables of `layer` at each call; with less effort for code that runs only a
  few times;
- `read(variable)`: a Keras variable's current value, as a tensor;
- `train(model, function, ...)`: a training step in which `function(data)`
  updates variables itself, the weights by `apply_gradients(optimizer,
  gradients, variables)`;
- `release_gradients()`: lets go of traced programs that only their own
  gradients hold;
- `num_replicas()`, `replica_mean(x)`, `replica_seed(seed)`: the number of
  replicas that share a batch, the mean over them, and a seed for each;
- `num_batch_shards(model)`, `check_replicas(model)`: the number of devices that
  share a batch of the model, and whether they can;
- `runs_on_cpu()`: whether programs run on the CPU;
- `process_index()`, `process_count()`: the index of this process among those
  that train together, and their number;
- `train_in_steps(model, steps, ...)`: a training step that is a loop over
  `TrainingSteps` with a loss each, with an update after each or one for their
  sum;
- `take_rows(table, indices)` and `add_rows(table, indices, rows)`: gather from
  and scatter-add into the rows of a matrix.

Structures are nested tuples and lists of tensors; an empty tuple stands for
"absent".
"""

import keras

from keras_seqcredit.backend.training_steps import TrainingSteps

if keras.backend.backend() == "tensorflow":
    from keras_seqcredit.backend.tensorflow import add_rows
    from keras_seqcredit.backend.tensorflow import apply_gradients
    from keras_seqcredit.backend.tensorflow import check_replicas
    from keras_seqcredit.backend.tensorflow import custom_gradient
    from keras_seqcredit.backend.tensorflow import differentiated_twice
    from keras_seqcredit.backend.tensorflow import jit
    from keras_seqcredit.backend.tensorflow import num_batch_shards
    from keras_seqcredit.backend.tensorflow import num_replicas
    from keras_seqcredit.backend.tensorflow import per_shard
    from keras_seqcredit.backend.tensorflow import process_count
    from keras_seqcredit.backend.tensorflow import process_index
    from keras_seqcredit.backend.tensorflow import read
    from keras_seqcredit.backend.tensorflow import replica_mean
    from keras_seqcredit.backend.tensorflow import replica_seed
    from keras_seqcredit.backend.tensorflow import runs_on_cpu
    from keras_seqcredit.backend.tensorflow import scan
    from keras_seqcredit.backend.tensorflow import take_rows
    from keras_seqcredit.backend.tensorflow import train
    from keras_seqcredit.backend.tensorflow import train_in_steps
    from keras_seqcredit.backend.tensorflow import vjp
    from keras_seqcredit.backend.traced_gradients import release_gradients
elif keras.backend.backend() == "jax":
    from keras_seqcredit.backend.jax import add_rows
    from keras_seqcredit.backend.jax import apply_gradients
    from keras_seqcredit.backend.jax import check_replicas
    from keras_seqcredit.backend.jax import custom_gradient
    from keras_seqcredit.backend.jax import differentiated_twice
    from keras_seqcredit.backend.jax import jit
    from keras_seqcredit.backend.jax import num_batch_shards
    from keras_seqcredit.backend.jax import num_replicas
    from keras_seqcredit.backend.jax import per_shard
    from keras_seqcredit.backend.jax import process_count
    from keras_seqcredit.backend.jax import process_index
    from keras_seqcredit.backend.jax import read
    from keras_seqcredit.backend.jax import release_gradients
    from keras_seqcredit.backend.jax import replica_mean
    from keras_seqcredit.backend.jax import replica_seed
    from keras_seqcredit.backend.jax import runs_on_cpu
    from keras_seqcredit.backend.jax import scan
    from keras_seqcredit.backend.jax import take_rows
    from keras_seqcredit.backend.jax import train
    from keras_seqcredit.backend.jax import train_in_steps
    from keras_seqcredit.backend.jax import vjp
else:
    raise ImportError(
        "keras_seqcredit runs on the TensorFlow and JAX backends of Keras. "
        f"Received: KERAS_BACKEND={keras.backend.backend()!r}. Set "
        "KERAS_BACKEND to 'tensorflow' or 'jax' before importing keras."
    )

__all__ = [
    "TrainingSteps",
    "add_rows",
    "apply_gradients",
    "check_replicas",
    "custom_gradient",
    "differentiated_twice",
    "jit",
    "num_batch_shards",
    "num_replicas",
    "per_shard",
    "process_count",
    "process_index",
    "read",
    "release_gradients",
    "replica_mean",
    "replica_seed",
    "runs_on_cpu",
    "scan",
    "take_rows",
    "train",
    "train_in_steps",
    "vjp",
]
