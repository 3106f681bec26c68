"""Professor Forcing the straightforward way: a pass for each of its parts.

The run on data and the free run are two scans; the free one samples inside and
is differentiated through. The discriminator is called on data and on the free
run for its own loss, and once more on the free run for the generator's. Losses,
gates, metrics and optimizers are those of `ProfessorForcing`.
"""

import keras
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.models import ProfessorForcing
from keras_seqcredit.models.autoregressive_net import Runs
from keras_seqcredit.models.sequences import Sequences
from keras_seqcredit.seeds import FixedSeed


class SeparateProfessorForcing(ProfessorForcing):
    """For plain sequences and a generator with one cell.

    Args:
        generator: As in `ProfessorForcing`.
        discriminator: As in `ProfessorForcing`.
        keras_loop: Boolean, whether the run on data uses Keras' own loop around
            the cell instead of the generator's.
        **kwargs: Other arguments of `ProfessorForcing`.
    """

    def __init__(
        self, generator, discriminator=None, keras_loop=False, **kwargs
    ):
        super().__init__(generator, discriminator, **kwargs)
        self.recurrence = generator.core
        if keras_loop:
            self.recurrence = keras.layers.RNN(
                generator.core.cell, return_sequences=True
            )

    def _train(self, data):
        sequences, *_ = keras.utils.unpack_x_y_sample_weight(data)
        generator, judge = self.generator, self.discriminator
        seed = generator.seed_generator
        keys = FixedSeed.draw(seed, sequences.shape[1], seed)

        def run(*weights):
            with self._scope(generator, weights):
                hidden, parameters = self._run_on_data(sequences)
                free = self._run_freely(sequences, keys)
                nats = -generator.head.log_prob(parameters, sequences)
            on_data = ops.concatenate([hidden, parameters], axis=-1)
            return (ops.mean(ops.sum(nats, axis=1)), free), (nats, on_data)

        def discriminate(*weights):
            with self._scope(judge, weights):
                logits = judge(on_data), judge(free)
            loss = ops.softplus(-logits[0]) + ops.softplus(logits[1])
            return ops.mean(loss), logits

        def mistake(free):
            return ops.mean(ops.softplus(-judge(free)))

        (nll, free), through_runs, (nats, on_data) = backend.vjp(
            run, *_values(generator), has_aux=True
        )
        loss, pull_back, logits = backend.vjp(
            discriminate, *_values(judge), has_aux=True
        )
        one = ops.ones_like(loss)
        of_discriminator = pull_back(one)
        _, pull_back = backend.vjp(mistake, free)
        (into_free,) = pull_back(one)

        low, high = self.discriminator_accuracy_range
        score = self._game().score(*logits)
        accuracy = score.discriminator_accuracy
        listens = ops.cast(accuracy > low, "float32")
        weight = self.adversarial_weight(backend.read(self.updates)) * listens
        of_generator = through_runs((one, weight * into_free))
        variables = generator.trainable_variables + judge.trainable_variables
        found = dict(
            zip(
                map(id, variables), of_generator + of_discriminator, strict=True
            )
        )
        learns = accuracy < high
        self._report_gates(listens, learns)
        self._update([found[id(v)] for v in self.trainable_variables], learns)
        hidden, parameters = ops.split(
            ops.concatenate([on_data, free]), [generator.units], axis=-1
        )
        runs = Runs(nats, hidden, parameters, None)
        self._report(score._asdict(), runs)
        self._loss_tracker.update_state(nll, sequences.shape[0])
        self._report_runs(runs, None)
        self.updates.assign_add(1)
        return self.get_metrics_result()

    def _scope(self, net, weights):
        """Current variables, except for the weights of one network."""
        mapping = [(v, backend.read(v)) for v in self.variables]
        mapping += zip(net.trainable_variables, weights, strict=True)
        return keras.StatelessScope(mapping)

    def _run_on_data(self, sequences):
        _, inputs = Sequences(sequences).embedded(
            self.generator.embedding, self.generator.core.compute_dtype
        )
        hidden = self.recurrence(inputs)
        return hidden, self.generator.head(hidden)

    def _run_freely(self, sequences, keys):
        generator = self.generator
        batch, time = sequences.shape

        def step(carry, key):
            frame, state = carry
            hidden, state = generator.core.cell(frame, state)
            parameters = generator.head(hidden)
            sample = generator.head.sample(
                ops.stop_gradient(parameters), FixedSeed(key)
            )
            behavior = ops.concatenate([hidden, parameters], axis=-1)
            return (generator.embedding(sample), state), behavior

        frame = ops.zeros((batch, generator.frame_size))
        state = generator.core.cell.get_initial_state(batch_size=batch)
        _, behaviors = backend.scan(step, (frame, state), keys, time)
        return ops.swapaxes(behaviors, 0, 1)


def keras_discriminator(units: int = 128, num_hidden: int = 2):
    """A `BehaviorDiscriminator` of Keras' own layers."""
    return keras.Sequential(
        [
            keras.layers.Bidirectional(
                keras.layers.GRU(units, return_sequences=True, use_cudnn=False)
            ),
            *(
                keras.layers.Dense(units, activation="relu")
                for _ in range(num_hidden)
            ),
            keras.layers.Dense(1),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Reshape(()),
        ]
    )


def _values(net) -> list:
    return [backend.read(v) for v in net.trainable_variables]
