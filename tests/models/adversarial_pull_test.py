"""How hard `ProfessorForcing` pulls: penalty, relative weight, samples."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit import layers
from keras_seqcredit.models import AutoregressiveRNN
from keras_seqcredit.models import ProfessorForcing
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


def steps_of(data=None, discriminator=None, **arguments):
    """What one step of SGD takes from each net, and the metrics."""
    keras.utils.set_random_seed(0)
    model = make_model(discriminator and discriminator(), **arguments)
    model.build((BATCH, TIME, FEATURES))
    nets = model.generator, model.discriminator
    before = [values(net.trainable_variables) for net in nets]
    model.compile(sgd(), sgd(), **QUICKLY)
    history = model.fit(
        make_sequences() if data is None else data,
        batch_size=BATCH, shuffle=False, verbose=0,
    ).history  # fmt: skip
    taken = [
        [
            a - b
            for a, b in zip(old, values(net.trainable_variables), strict=True)
        ]
        for net, old in zip(nets, before, strict=True)
    ]
    return model, before, taken, {k: v[-1] for k, v in history.items()}


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


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("name", ["ours", "another"])
def test_the_penalty_is_the_squared_slope_on_data(name, masked):
    if masked and name == "another":
        pytest.skip("It takes no mask.")
    data = make_sequences()
    if masked:
        data = {"sequences": data, "mask": MASK}
    another = MeanLogit if name == "another" else (lambda: None)
    _, before, without, _ = steps_of(data, another())
    model, _, taken, logs = steps_of(data, another(), discriminator_penalty=3.0)
    # Of the generator nothing changes.
    for a, b in zip(without[0], taken[0], strict=True):
        np.testing.assert_array_equal(a, b)
    generator, judge = model.generator, model.discriminator
    for variable, value in zip(
        generator.trainable_variables, before[0], strict=True
    ):
        variable.assign(value)
    mask = ops.cast(MASK, "float32") if masked else None
    given = ops.convert_to_tensor(MASK) if masked else None
    run = generator.net.run(Sequences(make_sequences(), mask=given))
    behaviors = ops.concatenate(run, axis=-1)

    def slope(weights):
        mapping = list(zip(judge.trainable_variables, weights, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            _, pull_back = backend.vjp(
                lambda x: ops.sum(plain_logits(judge, x, mask)),
                behaviors,
            )
            (gradient,) = pull_back(ops.ones(()))
        return ops.mean(ops.sum(gradient**2, axis=(1, 2)))

    value, gradients = value_and_gradients(slope, before[1], FASTEST)
    assert logs["discriminator_slope"] == pytest.approx(value, rel=1e-4)
    for a, b, gradient in zip(taken[1], without[1], gradients, strict=True):
        np.testing.assert_allclose(a - b, 3 * gradient, rtol=2e-3, atol=1e-5)
    assert max(np.abs(g).max() for g in gradients) > 1e-4


def test_a_relative_weight_is_a_share_of_the_norms():
    _, _, (likelihood, _), _ = steps_of(adversarial_weight=0.0)
    _, _, (both, judged), _ = steps_of(adversarial_weight=1.0)
    _, _, (found, theirs), logs = steps_of(
        adversarial_weight=0.3, relative_weight=True
    )
    adversarial = [a - b for a, b in zip(both, likelihood, strict=True)]
    norms = [
        np.sqrt(sum((g.astype("float64") ** 2).sum() for g in gradients))
        for gradients in (adversarial, likelihood)
    ]
    ratio = norms[0] / norms[1]
    assert logs["adversarial_ratio"] == pytest.approx(ratio, rel=1e-2)
    for a, b, c in zip(found, likelihood, adversarial, strict=True):
        np.testing.assert_allclose(a, b + 0.3 / ratio * c, rtol=2e-2, atol=2e-4)
    # The discriminator learns as before.
    for a, b in zip(judged, theirs, strict=True):
        np.testing.assert_array_equal(a, b)
    # Measured beside, it changes nothing.
    _, _, (same, _), logs = steps_of(adversarial_weight=1.0, ratio_every=1)
    assert logs["adversarial_ratio"] == pytest.approx(ratio, rel=1e-2)
    for a, b in zip(same, both, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_a_closed_gate_and_a_relative_weight_leave_the_likelihood():
    found = []
    for arguments in [
        {"discriminator_accuracy_range": (1.0, 1.0), "relative_weight": True},
        {"adversarial_weight": 0.0},
    ]:
        _, _, (taken, _), _ = steps_of(**arguments)
        found.append(taken)
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("steps", [None, 3])
def test_the_generator_hears_through_its_samples(steps):
    own = {"free_running_steps": steps, "discriminator_accuracy_range": ALWAYS}
    model, before, (found, _), _ = steps_of(sample_gradient=True, **own)
    _, _, (likelihood, _), _ = steps_of(adversarial_weight=0.0)
    _, _, (constant, judged), _ = steps_of(**own)
    _, _, (_, theirs), _ = steps_of(sample_gradient=True, **own)
    for a, b in zip(judged, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    generator, judge = model.generator, model.discriminator
    for net, old in zip((generator, judge), before, strict=True):
        for variable, value in zip(net.trainable_variables, old, strict=True):
            variable.assign(value)
    variables = generator.trainable_variables
    keras.utils.set_random_seed(0)
    fresh = make_generator()
    state = ops.convert_to_numpy(fresh.seed_generator.state.value)

    def adversarial(weights):
        mapping = list(zip(variables, weights, strict=True))
        seed = generator.seed_generator.state
        mapping += [(seed, ops.convert_to_tensor(state))]
        given = Sequences(ops.convert_to_tensor(make_sequences())).cut(steps)
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
    with pytest.raises(ValueError, match="have no gradient by its parameters"):
        ProfessorForcing(pen, sample_gradient=True)
