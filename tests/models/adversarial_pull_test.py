"""How hard `ProfessorForcing` pulls: penalty, relative weight, samples."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit import layers
from keras_seqcredit.models import AutoregressiveRNN
from keras_seqcredit.models import ProfessorForcing
from keras_seqcredit.models.discriminator_game import DiscriminatorGame
from keras_seqcredit.models.gradient_norms import pulled_by
from keras_seqcredit.models.sequences import Sequences
from tests.gradients import FASTEST
from tests.gradients import value_and_gradients
from tests.models.professor_forcing_test import ALWAYS
from tests.models.professor_forcing_test import BATCH
from tests.models.professor_forcing_test import FEATURES
from tests.models.professor_forcing_test import QUICKLY
from tests.models.professor_forcing_test import TIME
from tests.models.professor_forcing_test import MeanLogit
from tests.models.professor_forcing_test import adam
from tests.models.professor_forcing_test import fit
from tests.models.professor_forcing_test import make_generator
from tests.models.professor_forcing_test import make_model
from tests.models.professor_forcing_test import make_sequences
from tests.models.professor_forcing_test import moved
from tests.models.professor_forcing_test import values

MASK = np.arange(TIME) < np.array([[5], [2], [4], [5]])


def sgd(rate=1.0):
    return keras.optimizers.SGD(rate)


@functools.cache
def steps_of(**arguments):
    """What one step of SGD takes from each net, and the metrics."""
    keras.utils.set_random_seed(0)
    model = make_model(**arguments)
    model.build((BATCH, TIME, FEATURES))
    nets = model.generator, model.discriminator
    before = [values(net.trainable_variables) for net in nets]
    model.compile(sgd(), sgd(), **QUICKLY)
    history = model.fit(
        make_sequences(), batch_size=BATCH, shuffle=False, verbose=0
    ).history
    taken = [
        [a - b for a, b in zip(old, values(new), strict=True)]
        for new, old in zip(
            [net.trainable_variables for net in nets], before, strict=True
        )
    ]
    return model, before, taken, {k: v[-1] for k, v in history.items()}


LIKELIHOOD = {"adversarial_weight": 0.0}
BOTH = {"adversarial_weight": 1.0, "ratio_every": 1}


def plain_logits(judge, behaviors, mask):
    """The discriminator in plain loops, which any backend differentiates."""
    if isinstance(judge, MeanLogit):
        return judge(behaviors)
    outputs = []
    for layer, steps in zip(
        judge._directions, (range(TIME), range(TIME)[::-1]), strict=True
    ):
        state = ops.zeros((behaviors.shape[0], judge.units))
        states = {}
        for t in steps:
            new, _ = layer.cell(behaviors[:, t], [state])
            if mask is not None:
                new = ops.where(mask[:, t, None] > 0, new, state)
            states[t] = state = new
        outputs.append(ops.stack([states[t] for t in range(TIME)], axis=1))
    x = ops.concatenate(outputs, axis=-1)
    for dense in [*judge._hidden, judge._logit]:
        x = dense(x)
    if mask is None:
        return ops.mean(x[..., 0], axis=1)
    weight = mask / ops.sum(mask, axis=1, keepdims=True)
    return ops.sum(weight * x[..., 0], axis=1)


@pytest.mark.parametrize(
    ("make", "masked"),
    [(lambda: layers.BehaviorDiscriminator(4), True), (MeanLogit, False)],
    ids=["ours", "another"],
)
def test_the_penalty_is_the_squared_slope_on_data(make, masked):
    behaviors = np.random.default_rng(0).normal(size=(2 * BATCH, TIME, 3))
    behaviors = ops.convert_to_tensor(behaviors.astype("float32"))
    judge = make()
    judge.build(behaviors.shape)
    mask = np.concatenate([MASK, MASK]) if masked else None
    weight = ops.cast(MASK, "float32") if masked else None

    def play(behaviors, penalty):
        game = DiscriminatorGame(judge, False, ALWAYS, penalty)
        turn = game.play(behaviors, mask, 1.0)
        return turn.by_behaviors, turn.by_weights, turn.penalty

    without, found = (
        backend.jit(functools.partial(play, penalty=penalty), judge)(behaviors)
        for penalty in (None, 3.0)
    )
    # The generator hears nothing of it.
    np.testing.assert_allclose(without[0], found[0], rtol=1e-4, atol=1e-7)

    def slope(weights):
        mapping = list(zip(judge.trainable_variables, weights, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            logits, pull_back = backend.vjp(
                lambda x: plain_logits(judge, x, weight), behaviors[:BATCH]
            )
            (gradient,) = pull_back(ops.ones_like(logits))
        return ops.mean(ops.sum(gradient**2, axis=(1, 2)))

    weights = values(judge.trainable_variables)
    value, gradients = value_and_gradients(slope, weights, FASTEST)
    assert float(found[2]) == pytest.approx(value, rel=1e-4)
    assert value > 1e-5
    for a, b, gradient in zip(found[1], without[1], gradients, strict=True):
        difference = ops.convert_to_numpy(a) - ops.convert_to_numpy(b)
        np.testing.assert_allclose(
            difference, 3 * gradient, rtol=2e-3, atol=1e-5
        )


def test_a_relative_weight_is_a_share_of_the_norms():
    _, _, (likelihood, _), _ = steps_of(**LIKELIHOOD)
    _, _, (both, judged), measured = steps_of(**BOTH)
    _, _, (found, theirs), logs = steps_of(
        adversarial_weight=0.3, relative_weight=True
    )
    adversarial = [a - b for a, b in zip(both, likelihood, strict=True)]
    norms = [
        np.sqrt(sum((g.astype("float64") ** 2).sum() for g in gradients))
        for gradients in (adversarial, likelihood)
    ]
    ratio = norms[0] / norms[1]
    for figures in (logs, measured):
        assert figures["adversarial_ratio"] == pytest.approx(ratio, rel=1e-2)
    for a, b, c in zip(found, likelihood, adversarial, strict=True):
        np.testing.assert_allclose(a, b + 0.3 / ratio * c, rtol=2e-2, atol=2e-4)
    # The discriminator learns as before.
    for a, b in zip(judged, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_pulls_at_nothing_is_left_out():
    likelihood = [ops.convert_to_tensor([3.0, 0.0]), ops.ones((2, 2)) * 2]
    adversarial = [ops.convert_to_tensor([0.0, 1.0]), ops.zeros((2, 2))]
    pulled, ratio = pulled_by(likelihood, adversarial, 0.5, 1.0)
    assert float(ratio) == pytest.approx(0.2)
    np.testing.assert_allclose(pulled[0], [3.0, 2.5])
    nothing = [ops.zeros_like(g) for g in adversarial]
    for other, listens in ((adversarial, 0.0), (nothing, 1.0)):
        pulled, _ = pulled_by(likelihood, other, 0.5, listens)
        for a, b in zip(pulled, likelihood, strict=True):
            np.testing.assert_array_equal(*map(ops.convert_to_numpy, (a, b)))


def test_the_generator_hears_through_its_samples():
    model, before, (found, theirs), _ = steps_of(sample_gradient=True)
    _, _, (likelihood, _), _ = steps_of(**LIKELIHOOD)
    _, _, (constant, judged), _ = steps_of(**BOTH)
    for a, b in zip(judged, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    generator, judge = model.generator, model.discriminator
    for variable, value in zip(
        judge.trainable_variables, before[1], strict=True
    ):
        variable.assign(value)
    variables = generator.trainable_variables
    seed = generator.seed_generator.state
    state = ops.convert_to_numpy(make_generator().seed_generator.state.value)

    def adversarial(weights):
        mapping = list(zip(variables, weights, strict=True))
        mapping += [(seed, ops.convert_to_tensor(state))]
        given = Sequences(ops.convert_to_tensor(make_sequences()))
        with keras.StatelessScope(state_mapping=mapping):
            run = generator.net.run_freely(given, sample_gradient=True)
            logits = judge(ops.concatenate(run, axis=-1))
        return -ops.mean(ops.log_sigmoid(logits))

    _, expected = value_and_gradients(adversarial, before[0], FASTEST)
    for a, b, c in zip(found, likelihood, expected, strict=True):
        np.testing.assert_allclose(a - b, c, rtol=1e-2, atol=2e-4)
    # It is another gradient than that of constant samples.
    assert any(
        np.abs(a - b).max() > 1e-4 for a, b in zip(found, constant, strict=True)
    )


def test_metrics_and_config(tmp_path):
    arguments = {
        "discriminator_penalty": 10.0,
        "relative_weight": True,
        "adversarial_weight": 0.1,
        "sample_gradient": True,
        "free_running_steps": 3,
    }
    model = make_model(**arguments)
    sequences = make_sequences(8)
    model.build(sequences.shape)
    nets = model.generator, model.discriminator
    before = [values(net.trainable_variables) for net in nets]
    fit(model, adam(1e-2), adam(1e-2), sequences)
    for net, old in zip(nets, before, strict=True):
        assert all(moved(old, net.trainable_variables))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for name, value in model.get_config().items():
        if not isinstance(value, dict):
            assert loaded.get_config()[name] == value, name
    logs = [
        one.fit(sequences, batch_size=BATCH, shuffle=False, verbose=0).history
        for one in (model, loaded)
    ]
    assert logs[0].keys() == logs[1].keys()
    assert {"discriminator_slope", "adversarial_ratio"} <= logs[0].keys()
    for name, value in logs[0].items():
        assert value == pytest.approx(logs[1][name], rel=1e-4, abs=1e-5), name
    found = model.evaluate(sequences, verbose=0, return_dict=True)
    assert not {"discriminator_slope", "adversarial_ratio"} & found.keys()


def test_bad_arguments():
    generator = make_generator()
    for arguments, message in [
        ({"discriminator_penalty": 0}, "`discriminator_penalty` to be a posit"),
        ({"relative_weight": 2}, "`relative_weight` to be True or False"),
        ({"ratio_every": 0}, "`ratio_every` to be a positive integer"),
        ({"sample_gradient": "no"}, "`sample_gradient` to be True or False"),
        (
            {"relative_weight": True, "adversarial_weight": -0.1},
            "`adversarial_weight` to be a non-negative number",
        ),
        (
            {"matching": "mse", "discriminator_penalty": 1},
            "there is no discriminator.*discriminator_penalty=1",
        ),
        ({"matching": "mse", "relative_weight": True}, "there is no discrim"),
    ]:
        with pytest.raises(ValueError, match=message):
            ProfessorForcing(generator, **arguments)
    pen = AutoregressiveRNN(keras.layers.GRUCell(3), layers.PenStrokeHead(2))
    with pytest.raises(ValueError, match="have no gradient with respect"):
        ProfessorForcing(pen, sample_gradient=True)
