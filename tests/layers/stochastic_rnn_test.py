"""`StochasticRNN` against the reference that has no tricks, and its ways."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit.distributions.latents import CategoricalLatent
from keras_seqcredit.distributions.latents import GaussianLatent
from keras_seqcredit.distributions.latents import balanced_kl
from keras_seqcredit.layers import StochasticRNN
from keras_seqcredit.schedules import LinearSchedule
from tests.gradients import FASTEST
from tests.gradients import MODES
from tests.gradients import value_and_gradients
from tests.gradients import with_weights
from tests.reference import stochastic

BATCH, TIME, FEATURES, TARGETS, UNITS, LATENT = 3, 6, 2, 5, 4, 3

MASKS = {
    "right": [[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]],
    "left": [[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1]],
    "holes": [[1, 0, 1, 1, 0, 1], [0, 1, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0]],
}
CASES = [
    {},
    {"targets": True},
    {"mask": "right"},
    {"mask": "left"},
    {"mask": "holes"},
    {"mask": "holes", "targets": True},
    {"auxiliary": "l2", "condition_auxiliary_on_state": True},
    {"posterior": "target", "targets": True},
    {"posterior": "target", "mask": "holes"},
    {"posterior": "input", "mask": "right"},
    {"posterior": "backward_and_target", "mask": "holes"},
    {"posterior": "backward_and_target", "targets": True, "k_trunc": 2},
    {"k_trunc": 2, "condition_auxiliary_on_state": True},
    {"cell": "gru", "mask": "left", "targets": True},
    {"latent_to_cell": "layer_norm", "mask": "right"},
    {"latent": "categorical", "num_classes": 3, "mask": "holes"},
    {
        "latent": "categorical",
        "num_classes": 3,
        "unimix": 0.2,
        "kl_balance": 0.8,
        "mask": "left",
    },
    {"kl_balance": 0.3, "mask": "right"},
    {"go_backwards": True, "mask": "right"},
    {"auxiliary": None, "mask": "left"},
    {"networks": True, "mask": "holes"},
]


def name_of(case):
    return "-".join(f"{k}={v}" for k, v in case.items()) or "default"


def make_network(name, outputs):
    """The function of a `ClippedMLP`, as a network of one's own."""
    return keras.Sequential(
        [
            keras.layers.Dense(
                UNITS,
                lambda x: ops.clip(ops.leaky_relu(x, 1 / 3), -3, 3),
                name="hidden",
            ),
            keras.layers.Dense(
                outputs, lambda x: ops.clip(x, -8, 8), name="projection"
            ),
        ],
        name=name,
    )


class Problem:
    """A layer, operands, and the same loss of the layer and the reference."""

    def __init__(self, case, dtype="float32"):
        case = dict(case)
        random = np.random.default_rng(0)
        mask = case.pop("mask", None)
        self.mask = None if mask is None else np.array(MASKS[mask], bool)
        self.with_targets = case.pop("targets", False)
        networks = {}
        if case.pop("networks", False):
            networks = {
                "prior_network": make_network("prior", 2 * LATENT),
                "posterior_network": make_network("posterior", 2 * LATENT),
                "auxiliary_network": make_network("network", 2 * UNITS),
            }
        self.case = case
        arguments = {**case, **networks}
        self.layer = StochasticRNN(UNITS, LATENT, dtype=dtype, **arguments)
        targets = (BATCH, TIME, TARGETS)
        self.layer.build(
            (BATCH, TIME, FEATURES), targets if self.with_targets else None
        )
        self.paths = [
            v.path.split("/", 1)[1] for v in self.layer.trainable_variables
        ]
        weights = [
            0.6 * random.normal(size=v.shape)
            for v in self.layer.trainable_variables
        ]
        arrays = [
            random.normal(size=(BATCH, TIME, FEATURES)),
            random.normal(size=targets),
            *(random.normal(size=(BATCH, UNITS)) for _ in range(2)),
            *weights,
        ]
        self.arrays = [np.asarray(a, dtype) for a in arrays]
        self.num_states = len(self.layer.get_initial_state(1))
        size = self.layer.latents.size
        noise = random.normal(size=(BATCH, TIME, size)).astype(dtype)
        self.noise = noise
        self.layer.latents.noise = lambda shape, seed: noise
        probes = ("hidden", UNITS), ("latents", size), ("kl", LATENT)
        self.probes = {
            name: random.normal(size=(BATCH, TIME, n)).astype(dtype)
            for name, n in probes
        }
        probe = random.normal(size=(BATCH, TIME)).astype(dtype)
        self.probes["auxiliary"] = probe

    def _apart(self, arrays):
        inputs, targets, h, c, *weights = arrays
        return inputs, targets, [h, c][: self.num_states], weights

    def of_layer(self, arrays):
        inputs, targets, states, weights = self._apart(arrays)
        found = with_weights(
            self.layer,
            weights,
            lambda: self.layer.infer(
                inputs,
                targets if self.with_targets else None,
                initial_state=states,
                mask=self.mask,
            ),
        )
        return found._asdict()

    def of_reference(self, arrays):
        inputs, targets, states, weights = self._apart(arrays)
        case = dict(self.case)
        case.pop("latent", None)
        conditioned = case.pop("condition_auxiliary_on_state", False)
        if case.pop("go_backwards", False):
            inputs, targets = (ops.flip(x, axis=1) for x in (inputs, targets))
        return stochastic.run(
            dict(zip(self.paths, weights, strict=True)),
            inputs,
            ops.convert_to_tensor(self.noise),
            states,
            targets=targets if self.with_targets else None,
            mask=self.mask_in_order,
            conditioned=conditioned,
            **case,
        )

    @property
    def mask_in_order(self):
        """The mask of the outputs."""
        if self.mask is None or not self.case.get("go_backwards"):
            return self.mask
        return self.mask[:, ::-1]

    def loss(self, run):
        def loss(arrays):
            found = run(arrays)
            total = sum(ops.sum(ops.sin(s)) for s in found["states"])
            for name, probe in self.probes.items():
                values = found[name]
                if name == "latents" and self.mask is not None:
                    valid = self.mask_in_order[..., None]
                    values = ops.where(valid, values, 0)
                values = ops.cast(values, probe.dtype)
                total = total + ops.sum(values * probe)
            return total

        return loss


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_equals_reference(case):
    problem = Problem(case)
    value, expected = value_and_gradients(
        problem.loss(problem.of_reference), problem.arrays, "eager"
    )
    found, gradients = value_and_gradients(
        problem.loss(problem.of_layer), problem.arrays, "jit"
    )
    assert found == pytest.approx(value, rel=1e-4)
    for a, b in zip(gradients, expected, strict=True):
        limit = 1e-4 * max(1, np.abs(b).max())
        np.testing.assert_allclose(a, b, rtol=0, atol=limit)
    seen = [np.abs(g).max() > 0 for g in expected]
    # Without targets there is no gradient of them; of all else there is.
    unused = [1] if not problem.with_targets else []
    unused += [3] if problem.num_states == 1 else []
    assert [i for i, s in enumerate(seen) if not s] == unused


@pytest.mark.parametrize(
    "case",
    [
        {"mask": "holes", "k_trunc": 2},
        {"mask": "left", "cell": "gru"},
        {"mask": "right", "latent_to_cell": "layer_norm"},
    ],
    ids=name_of,
)
@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_the_same_without_compilation(mode, case):
    if mode not in (*MODES, "eager"):
        pytest.skip("JAX has no graphs that are not compiled.")
    problem = Problem({**case, "jit_compile": False})
    loss = problem.loss(problem.of_layer)
    value, expected = value_and_gradients(loss, problem.arrays, "jit")
    found, gradients = value_and_gradients(loss, problem.arrays, mode)
    assert found == pytest.approx(value, rel=1e-5)
    for a, b in zip(gradients, expected, strict=True):
        limit = 1e-5 * max(1, np.abs(b).max())
        np.testing.assert_allclose(a, b, rtol=0, atol=limit)


def gradients_of_backward(term, blind):
    """Of one cost, to the backward network's weights.

    Args:
        term: `"kl"` or `"auxiliary"`.
        blind: whether the posterior does not look at the backward network.
    """
    problem = Problem({"targets": True})
    rows = problem.paths.index("posterior/hidden/kernel") + 4
    if blind:
        problem.arrays[rows][UNITS:] = 0
    value, gradients = value_and_gradients(
        lambda arrays: ops.sum(problem.of_layer(arrays)[term]),
        problem.arrays,
        FASTEST,
    )
    found = zip(problem.paths, gradients[4:], strict=True)
    largest = {path: np.abs(g).max() for path, g in found}
    return value, {k: v for k, v in largest.items() if "backward/" in k}


def test_the_auxiliary_cost_does_not_move_its_target():
    """What is left, once the latent says nothing of it, is exactly nothing."""
    value, found = gradients_of_backward("auxiliary", blind=True)
    assert value != 0
    assert len(found) == 3
    assert set(found.values()) == {0.0}


@pytest.mark.parametrize("term", ["kl", "auxiliary"])
def test_costs_of_the_latent_reach_the_backward_network(term):
    _, found = gradients_of_backward(term, blind=False)
    assert min(found.values()) > 1e-4


def test_only_the_posterior_and_the_cell_are_in_the_loop(monkeypatch):
    layer = StochasticRNN(UNITS, LATENT, cell="gru")
    layer.build((BATCH, TIME, FEATURES))
    seen = {}
    for name in ("_prior", "_posterior", "_auxiliary"):
        part = getattr(layer, name)
        call = part.call

        def spy(*args, name=name, call=call, **kwargs):
            seen.setdefault(name, []).append(tuple(args[0].shape))
            return call(*args, **kwargs)

        monkeypatch.setattr(part, "call", spy)
    layer(make_inputs(), training=True)
    # All steps at once, and one step at a time.
    assert seen["_prior"] == [(BATCH * TIME, UNITS)]
    assert seen["_auxiliary"] == [(BATCH, TIME, LATENT)]
    assert set(seen["_posterior"]) == {(BATCH, 2 * UNITS)}


def make_inputs(seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(BATCH, TIME, FEATURES)).astype("float32")


def as_numpy(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize("latent", ["gaussian", "categorical"])
def test_steps_from_the_prior_are_the_sequence(latent):
    layer = StochasticRNN(
        UNITS,
        LATENT,
        latent=latent,
        num_classes=3 if latent == "categorical" else None,
        return_sequences=True,
        return_state=True,
    )
    inputs = make_inputs()
    layer.build(inputs.shape)
    noise = as_numpy(layer.latents.noise((BATCH, TIME), seed=3))
    state = layer.get_initial_state(BATCH)
    steps = []
    for t in range(TIME):
        output, state = layer.step(inputs[:, t], state, noise[:, t])
        steps.append(as_numpy(output))
    layer.latents.noise = lambda shape, seed: noise
    whole, *final = layer(inputs, sample_from="prior")
    np.testing.assert_allclose(np.stack(steps, 1), whole, rtol=1e-5, atol=1e-6)
    for a, b in zip(state, final, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert layer.losses == []


def test_costs_are_averaged_over_valid_steps():
    arguments = dict(kl_weight=0.5, auxiliary_weight=2.0, seed=1)
    mask = np.array(MASKS["right"], bool)
    layer = StochasticRNN(UNITS, LATENT, **arguments)
    layer(make_inputs(), mask=mask)
    other = StochasticRNN(UNITS, LATENT, return_losses=True, **arguments)
    other.build((BATCH, TIME, FEATURES))
    other.set_weights(layer.get_weights())
    _, kl, auxiliary = (as_numpy(x) for x in other(make_inputs(), mask=mask))
    assert other.losses == []
    assert (kl[~mask] == 0).all()
    assert (auxiliary[~mask] == 0).all()
    assert (kl[mask] >= 0).all()
    assert (kl > 0).sum() == mask.sum() - 1  # Nothing is known at first.
    # The last valid step has no future.
    assert (auxiliary != 0).sum() == mask.sum() - BATCH
    found = [float(loss) for loss in layer.losses]
    expected = [0.5 * kl.sum() / mask.sum(), 2 * auxiliary.sum() / mask.sum()]
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_schedule_moves_on_in_training_and_is_saved(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((None, FEATURES)),
            StochasticRNN(
                UNITS,
                LATENT,
                kl_weight=LinearSchedule(0.0, 1.0, 4),
                auxiliary_weight=0.1,
            ),
        ]
    )
    model.compile("sgd", "mse")
    inputs = make_inputs()
    model.fit(inputs, np.zeros((BATCH, UNITS)), epochs=2, verbose=0)
    model.evaluate(inputs, np.zeros((BATCH, UNITS)), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one in (model, loaded):
        assert int(one.layers[0].updates.value) == 2
        assert float(one.layers[0].kl_weight(2)) == 0.5
    # Noise goes on where it was.
    np.testing.assert_array_equal(loaded(inputs), model(inputs))


def test_the_loss_of_a_model_has_the_weights_of_the_update(tmp_path):
    inputs = keras.Input((None, FEATURES))
    outputs = StochasticRNN(
        UNITS,
        LATENT,
        kl_weight=LinearSchedule(0.0, 1.0, 4),
        auxiliary_weight=LinearSchedule(0.4, 0.2, 2),
        name="rnn",
    )(keras.layers.Masking()(inputs))
    model = keras.Model(inputs, outputs)
    # Not trained: the learning rate is 0.
    model.compile(keras.optimizers.SGD(0.0), "mse", run_eagerly=True)
    mask = np.array(MASKS["right"], bool)
    x = make_inputs() * mask[..., None]
    y = np.random.default_rng(1).normal(size=(BATCH, UNITS))
    losses, expected = [], []
    for update in range(6):
        if update == 3:
            model.save(tmp_path / "model.keras")
            model = keras.saving.load_model(tmp_path / "model.keras")
        layer = model.get_layer("rnn")
        noise = as_numpy(layer.latents.noise((BATCH, TIME), seed=update))
        layer.latents.noise = lambda shape, seed, noise=noise: noise
        history = model.fit(x, y, shuffle=False, verbose=0).history
        losses += history["loss"]
        found = layer.infer(x, mask=mask)
        kl, auxiliary = (
            as_numpy(cost).sum() / mask.sum()
            for cost in (found.kl, found.auxiliary)
        )
        mse = np.mean((as_numpy(found.hidden)[:, -1] - y) ** 2)
        weights = min(update / 4, 1), max(0.4 - 0.1 * update, 0.2)
        expected.append(mse + weights[0] * kl + weights[1] * auxiliary)
        del layer.latents.noise
    assert losses == pytest.approx(expected, rel=1e-4)


def make_stateful_model(stateful):
    # The posterior sees no future, which would end with a piece.
    layer = StochasticRNN(
        UNITS,
        LATENT,
        posterior="input",
        stateful=stateful,
        return_sequences=True,
    )
    layer.latents.noise = lambda shape, seed: ops.zeros((*shape, LATENT))
    shape = (BATCH, None, FEATURES)
    return keras.Sequential([keras.Input(batch_shape=shape), layer])


def test_states_carry_over_to_the_next_call():
    model, whole = make_stateful_model(True), make_stateful_model(False)
    (layer,) = model.layers
    assert layer.weights == layer.trainable_weights
    for a, b in zip(
        layer.trainable_weights, whole.trainable_weights, strict=True
    ):
        a.assign(b)
    inputs = make_inputs()
    expected = as_numpy(whole(inputs))
    for _ in range(2):
        pieces = [
            model.predict(x, batch_size=BATCH, verbose=0)
            for x in (inputs[:, :4], inputs[:, 4:])
        ]
        found = np.concatenate(pieces, axis=1)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(layer.states[0], expected[:, -1], rtol=1e-5)
        layer.reset_state()
    with pytest.raises(ValueError, match="batch_size=None"):
        StochasticRNN(UNITS, LATENT, stateful=True)(
            keras.Input((None, FEATURES))
        )


def test_noise_is_drawn_anew_and_from_the_seed():
    first, second = (
        StochasticRNN(UNITS, LATENT, seed=5) for _ in range(2)
    )  # fmt: skip
    inputs = make_inputs()
    first.build(inputs.shape)
    second.build(inputs.shape)
    second.set_weights(first.get_weights())
    drawn = [as_numpy(first(inputs)) for _ in range(2)]
    assert (drawn[0] != drawn[1]).any()
    for expected in drawn:
        np.testing.assert_array_equal(second(inputs), expected)


def test_categorical_samples_have_their_probabilities():
    latent = CategoricalLatent(2, 3)
    logits = np.log([[0.5, 0.2, 0.3, 0.1, 0.8, 0.1]]).astype("float32")
    logits = np.repeat(logits, 20000, 0)
    sample = as_numpy(latent.sample(logits, latent.noise((20000,), seed=1)))
    assert set(np.unique(sample.round(5))) == {0.0, 1.0}
    np.testing.assert_allclose(
        sample.mean(0), [0.5, 0.2, 0.3, 0.1, 0.8, 0.1], atol=0.015
    )
    prior = np.zeros_like(logits)
    kl = as_numpy(latent.kl(logits, prior))[0]
    p = np.array([[0.5, 0.2, 0.3], [0.1, 0.8, 0.1]])
    np.testing.assert_allclose(kl, (p * np.log(3 * p)).sum(-1), rtol=1e-5)


def test_a_share_of_the_classes_is_uniform():
    plain, latent = CategoricalLatent(2, 3), CategoricalLatent(2, 3, 0.3)
    logits = np.array([[9.0, -9.0, 0.0, 1.0, 2.0, 3.0]], "float32")
    found = as_numpy(latent.mean(logits))
    np.testing.assert_allclose(
        found, 0.7 * as_numpy(plain.mean(logits)) + 0.1, rtol=1e-5
    )
    # No class is ruled out: the least likely one has its share.
    never = np.array([[0, 1, 0, 0, 0, 1]], "float32")
    expected = np.log(found[0, 1]) + np.log(found[0, 5])
    assert float(latent.log_prob(logits, never)[0]) == pytest.approx(expected)
    rows = np.repeat(logits, 20000, 0)
    sample = as_numpy(latent.sample(rows, latent.noise((20000,), seed=1)))
    np.testing.assert_allclose(sample.mean(0), found[0], atol=0.015)


@pytest.mark.parametrize("balance", [0.0, 0.8])
@pytest.mark.parametrize(
    "latent", [GaussianLatent(3), CategoricalLatent(2, 3, 0.01)]
)
def test_a_balanced_divergence_is_the_same_but_for_its_gradient(
    latent, balance
):
    random = np.random.default_rng(0)
    arrays = [
        random.normal(size=(4, latent.parameters)).astype("float32")
        for _ in range(2)
    ]

    def total(balance):
        return lambda arrays: ops.sum(balanced_kl(latent, *arrays, balance))

    value, gradients = value_and_gradients(total(None), arrays, FASTEST)
    found, shares = value_and_gradients(total(balance), arrays, FASTEST)
    assert found == pytest.approx(value, rel=1e-6)
    posterior, prior = gradients
    for share, expected in zip(
        shares, ((1 - balance) * posterior, balance * prior), strict=True
    ):
        np.testing.assert_allclose(share, expected, rtol=1e-5, atol=1e-7)


def test_straight_through_gradient_is_that_of_the_probabilities():
    latent = CategoricalLatent(1, 3)
    logits = np.array([[0.3, -0.2, 0.5]], "float32")
    probe = np.array([[1.0, -2.0, 0.5]], "float32")
    noise = np.array([[0.0, 3.0, 0.0]], "float32")

    def loss(arrays):
        return ops.sum(latent.sample(arrays[0], noise) * probe)

    value, (gradient,) = value_and_gradients(loss, [logits], "eager")
    assert value == pytest.approx(-2.0)
    p = np.exp(logits) / np.exp(logits).sum()
    expected = p * (probe - (p * probe).sum())
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"latent_dim": 0}, "`latent_dim` to be a positive .*latent_dim=0"),
        ({"units": 2.5}, "`units` to be a positive .*units=2.5"),
        ({"cell": "rnn"}, "`cell` to be one of .*cell='rnn'"),
        ({"cell": keras.layers.GRUCell(3)}, "units=4.*state_size=3"),
        ({"posterior": "future"}, "`posterior` to be one of"),
        ({"kl_weight": "warm"}, "a weight to be a finite number.*'warm'"),
        ({"kl_weight": -1}, "`kl_weight` to be a non-negative.*-1"),
        ({"auxiliary_weight": -0.1}, "`auxiliary_weight` to be a non-neg"),
        ({"latent": "categorical"}, "`num_classes` to be an integer of at"),
        ({"num_classes": 3}, "`num_classes` is for"),
        ({"unimix": 0.1}, "`unimix` is for.*unimix=0.1, latent='gaussian'"),
        ({"unimix": 1.0}, r"`unimix` to be a number in \[0, 1\).*unimix=1.0"),
        (
            {"kl_balance": 1.5},
            "`kl_balance` to be a number from 0 to 1",
        ),
        ({"posterior": "input", "auxiliary_weight": 0.1}, "auxiliary cost"),
        ({"auxiliary": None, "auxiliary_weight": 0.1}, "auxiliary cost"),
        (
            {"posterior": "input", "backward": keras.layers.GRU(3)},
            "backward network is used with",
        ),
        ({"cell": "gru", "latent_to_cell": "layer_norm"}, "cell='lstm'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        StochasticRNN(**{"units": UNITS, "latent_dim": LATENT, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"targets": np.zeros((BATCH, TIME + 1, 2))}, r"\(3, 6, 'features'\)"),
        ({"mask": np.ones((BATCH, TIME - 1), bool)}, r"mask.shape=\(3, 5\)"),
        ({"initial_state": [np.zeros((BATCH, UNITS))]}, "expected 2 states"),
        (
            {"initial_state": [np.zeros((BATCH, 2)), np.zeros((BATCH, 2))]},
            r"sizes \[4, 4\].*\(3, 2\)",
        ),
        ({"sample_from": "posteriori"}, "`sample_from` to be one of"),
    ],
)
def test_bad_calls(arguments, message):
    layer = StochasticRNN(UNITS, LATENT)
    with pytest.raises(ValueError, match=message):
        layer(make_inputs(), **arguments)


def test_a_network_of_the_wrong_size():
    layer = StochasticRNN(
        UNITS, LATENT, prior_network=keras.layers.Dense(LATENT)
    )
    with pytest.raises(ValueError, match="`prior_network` to have 6 outputs"):
        layer(make_inputs())


def make_dense(units, *more):
    """A network of one's own, of layers that Keras saves."""
    return keras.Sequential(
        [keras.layers.Dense(5, "tanh"), *more, keras.layers.Dense(units)]
    )


def make_fitted(dtype=None, **networks):
    layer = StochasticRNN(
        UNITS, LATENT, auxiliary_weight=0.1, seed=1, dtype=dtype, **networks
    )
    model = keras.Sequential([keras.Input((None, FEATURES)), layer])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.5), "mse")
    model.fit(make_inputs(), np.zeros((BATCH, UNITS)), verbose=0)
    return model


@pytest.mark.parametrize("make", [keras.layers.Dense, make_dense])
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_networks_of_another_precision(make, dtype):
    model = make_fitted(
        dtype,
        prior_network=make(2 * LATENT),
        posterior_network=make(2 * LATENT),
        auxiliary_network=make(2 * UNITS),
    )
    (layer,) = model.layers
    momentum = model.optimizer.variables[-len(layer.trainable_variables) :]
    for variable in momentum:
        value = as_numpy(variable)
        assert np.isfinite(value).all(), variable.path
        assert np.abs(value).max() > 0, variable.path
    found = layer(make_inputs(), sample_from="prior")
    assert np.isfinite(as_numpy(ops.cast(found, "float32"))).all()


def test_networks_are_saved(tmp_path):
    model = make_fitted(
        prior_network=make_dense(2 * LATENT),
        # What is not trained is no state that training changes.
        posterior_network=keras.layers.Dense(2 * LATENT, trainable=False),
        auxiliary_network=make_dense(2 * UNITS, keras.layers.Dropout(0.5)),
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    inputs = make_inputs()
    np.testing.assert_array_equal(loaded(inputs), model(inputs))
    other = np.concatenate([inputs, inputs], axis=1)[:2]
    np.testing.assert_array_equal(loaded(other), model(other))


@pytest.mark.parametrize(
    "more",
    [
        lambda: keras.layers.Dropout(0.5),
        lambda: keras.layers.BatchNormalization(),
    ],
    ids=["Dropout", "BatchNormalization"],
)
@pytest.mark.parametrize("name", ["prior_network", "posterior_network"])
def test_networks_with_state_cannot_be_in_the_loop(name, more):
    layer = StochasticRNN(
        UNITS, LATENT, **{name: make_dense(2 * LATENT, more())}
    )
    with pytest.raises(ValueError, match=f"`{name}` runs .* without state"):
        layer.build((BATCH, TIME, FEATURES))


def test_a_backward_network_starts_anew_and_holds_its_state_at_padding():
    found = []
    for changed in (False, True):
        backward = keras.layers.GRU(
            3, stateful=changed, zero_output_for_mask=changed, use_cudnn=False
        )
        layer = StochasticRNN(UNITS, LATENT, backward=backward)
        layer.latents.noise = lambda shape, seed: ops.zeros((*shape, LATENT))
        layer.build((BATCH, TIME, FEATURES))
        random = np.random.default_rng(0)
        for variable in layer.trainable_variables:
            variable.assign(random.normal(size=variable.shape))
        mask = np.array(MASKS["holes"], bool)
        layer.infer(make_inputs(), mask=mask)
        again = layer.infer(make_inputs(), mask=mask)
        found.append((again.kl, again.auxiliary, again.hidden))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def make_forecaster(**arguments):
    model = keras.Sequential(
        [
            keras.Input((None, FEATURES)),
            StochasticRNN(
                UNITS,
                LATENT,
                auxiliary_weight=0.1,
                return_sequences=True,
                seed=1,
                name="rnn",
                **arguments,
            ),
            keras.layers.Dense(FEATURES),
        ]
    )
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return model


def latents_count(model):
    """Makes what the backward network says, and the latents, matter."""
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(random.normal(size=variable.shape))


def moves(model, **arguments):
    """Whether predictions of the first steps depend on the later ones."""
    inputs = make_inputs()
    changed = inputs.copy()
    changed[:, 4:] = 3.0
    layer = model.get_layer("rnn")
    found = []
    for x in (inputs, changed):
        layer.seed_generator.state.assign([0, 7])
        if arguments:
            found.append(as_numpy(layer(x, **arguments)))
        else:
            found.append(model.predict(x, verbose=0))
    return bool(np.abs(found[0][:, :3] - found[1][:, :3]).max() > 1e-6)


def test_predictions_do_not_see_the_future():
    model = make_forecaster()
    latents_count(model)
    assert not moves(model)
    assert not moves(model, training=False)
    assert moves(model, training=True)
    assert moves(model, targets=make_inputs() * 0.5) is False
    assert moves(model, sample_from="posterior")
    assert not moves(model, training=True, sample_from="prior")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"sample_from": "posterior"}, True),
        ({"sample_from": "prior"}, False),
        ({"posterior": "target", "auxiliary_weight": 0.0}, False),
        ({"posterior": "input", "auxiliary_weight": 0.0}, False),
    ],
)
def test_where_predictions_come_from(arguments, expected):
    layer = StochasticRNN(
        UNITS,
        LATENT,
        return_sequences=True,
        seed=1,
        name="rnn",
        **{"auxiliary_weight": 0.1, **arguments},
    )
    model = keras.Sequential([keras.Input((None, FEATURES)), layer])
    latents_count(model)
    assert moves(model) is expected


def test_predictions_are_those_of_the_prior():
    model = make_forecaster()
    latents_count(model)
    layer = model.get_layer("rnn")
    seed = as_numpy(layer.seed_generator.state)
    found = layer(make_inputs())
    layer.seed_generator.state.assign(seed)
    expected = layer.infer(make_inputs(), sample_from="prior").hidden
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_evaluate_counts_the_error_of_predictions_and_all_costs():
    model = make_forecaster(sample="mean")
    latents_count(model)
    layer, inputs = model.get_layer("rnn"), make_inputs()
    targets = np.roll(inputs, -1, axis=1)
    found = model.evaluate(inputs, targets, verbose=0)
    costs = layer.infer(inputs, sample="mean")
    error = np.mean((model.predict(inputs, verbose=0) - targets) ** 2)
    steps = BATCH * TIME
    expected = (
        error + np.sum(costs.kl) / steps + 0.1 * np.sum(costs.auxiliary) / steps
    )
    assert found == pytest.approx(float(expected), rel=1e-4)
    # Without a posterior there is nothing to pay.
    model = make_forecaster(sample_from="prior")
    assert model(inputs) is not None
    assert model.losses == []


def test_means_are_taken_outside_of_training_only():
    model, inputs = make_forecaster(sample="mean"), make_inputs()
    latents_count(model)
    a, b = (model.predict(inputs, verbose=0) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    a, b = (as_numpy(model(inputs, training=True)) for _ in range(2))
    assert np.abs(a - b).max() > 1e-3
    model = make_forecaster()
    latents_count(model)
    a, b = (model.predict(inputs, verbose=0) for _ in range(2))
    assert np.abs(a - b).max() > 1e-3
    layer = model.get_layer("rnn")
    a, b = (as_numpy(layer(inputs, sample="mean")) for _ in range(2))
    np.testing.assert_array_equal(a, b)


def test_the_most_likely_class_is_the_mean():
    layer = StochasticRNN(
        UNITS,
        LATENT,
        latent="categorical",
        num_classes=3,
        sample="mean",
        return_sequences=True,
    )
    layer.build((BATCH, TIME, FEATURES))
    found = layer.infer(make_inputs(), sample_from="prior", sample="mean")
    likely = ops.argmax(
        ops.reshape(found.prior, (BATCH, TIME, LATENT, 3)), axis=-1
    )
    taken = ops.argmax(
        ops.reshape(found.latents, (BATCH, TIME, LATENT, 3)), axis=-1
    )
    np.testing.assert_array_equal(likely, taken)


@pytest.mark.parametrize("name", ["sample_from", "sample"])
def test_choices_of_samples(name):
    message = f"`{name}` to be one of"
    with pytest.raises(ValueError, match=message):
        StochasticRNN(UNITS, LATENT, **{name: "best"})
    layer = StochasticRNN(UNITS, LATENT)
    for x in (make_inputs(), keras.Input((TIME, FEATURES))):
        with pytest.raises(ValueError, match=message):
            layer(x, **{name: "best"})
    with pytest.raises(ValueError, match="one of .'posterior', 'prior'"):
        layer.infer(make_inputs(), sample_from="auto")
