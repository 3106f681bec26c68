"""`ProfessorForcing`: which net moves when, by which gradient."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit import layers
from keras_seqcredit.models import AutoregressiveRNN
from keras_seqcredit.models import ProfessorForcing
from keras_seqcredit.models.sequences import Sequences
from keras_seqcredit.schedules import LinearSchedule
from tests.gradients import FASTEST
from tests.gradients import value_and_gradients

BATCH, TIME, FEATURES, UNITS = 4, 5, 2, 6
ALWAYS = (0.0, 1.0)


def make_sequences(batch=BATCH, time=TIME):
    random = np.random.default_rng(0)
    return random.normal(size=(batch, time, FEATURES)).astype("float32")


def make_generator(**arguments):
    core = keras.layers.GRUCell(UNITS)
    head = layers.GaussianHead(FEATURES)
    return AutoregressiveRNN(core, head, seed=1, **arguments)


def make_model(discriminator=None, **arguments):
    if arguments.get("matching") != "mse" and discriminator is None:
        discriminator = layers.BehaviorDiscriminator(4)
    arguments.setdefault("discriminator_accuracy_range", ALWAYS)
    return ProfessorForcing(make_generator(), discriminator, **arguments)


class MeanLogit(keras.layers.Layer):
    """A discriminator that is none of ours."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, behaviors, mask=None):
        return ops.mean(ops.tanh(self.dense(behaviors))[..., 0], axis=1)

    def compute_output_shape(self, shape):
        return shape[:1]


class NormalizedLogit(MeanLogit):
    """One with moments and random numbers."""

    def __init__(self):
        super().__init__()
        self.norm = keras.layers.BatchNormalization(momentum=0.5)
        self.dropout = keras.layers.Dropout(0.5, seed=1)

    def build(self, shape):
        super().build(shape)
        self.norm.build(shape)

    def call(self, behaviors, mask=None, training=False):
        behaviors = self.norm(behaviors, training=training)
        return super().call(self.dropout(behaviors, training=training))


def values(variables):
    return [ops.convert_to_numpy(v.value) for v in variables]


def moved(before, variables):
    return [
        (a != b).any() for a, b in zip(before, values(variables), strict=True)
    ]


QUICKLY = {"run_eagerly": FASTEST == "eager"}


def fit(model, first, second, sequences=None, compiled=None, **arguments):
    """One step of training, with an optimizer for each net."""
    model.compile(first, second, **(compiled or QUICKLY))
    model.fit(
        make_sequences() if sequences is None else sequences,
        batch_size=BATCH,
        verbose=0,
        shuffle=False,
        **arguments,
    )


def adam(rate):
    return keras.optimizers.Adam(rate)


def test_each_net_moves_by_its_own_optimizer():
    more = {
        "discriminator_penalty": 3.0,
        "relative_weight": True,
        "sample_gradient": True,
    }
    for rates, arguments in [
        ((0.0, 0.1), {}),
        ((0.1, 0.0), {}),
        ((0.0, 0.1), more),
        ((0.1, 0.0), more),
    ]:
        judge = MeanLogit() if arguments else None
        model = make_model(judge, **arguments)
        model.build((BATCH, TIME, FEATURES))
        nets = model.generator, model.discriminator
        before = [values(net.trainable_variables) for net in nets]
        fit(model, *map(adam, rates))
        for net, old, rate in zip(nets, before, rates, strict=True):
            assert all(moved(old, net.trainable_variables)) == (rate > 0)
            assert any(moved(old, net.trainable_variables)) == (rate > 0)


MODES = [
    {"run_eagerly": True},
    {"jit_compile": False},
    {"jit_compile": True},
]


@pytest.mark.parametrize("mode", MODES, ids=["eager", "graph", "jit"])
def test_a_closed_gate_leaves_the_discriminator(mode):
    # Its accuracy is never below 0, and never above 1.
    model = make_model(discriminator_accuracy_range=(0.0, 0.0))
    model.build((BATCH, TIME, FEATURES))
    first, second = adam(0.1), adam(0.1)
    model.compile(first, second, **mode)
    model.optimizer.build(model.trainable_variables)
    kept = [*model.discriminator.trainable_variables, *second.variables]
    before = values(kept)
    history = model.fit(make_sequences(), verbose=0, epochs=2).history
    assert not any(moved(before, kept))
    assert int(second.iterations.value) == 0
    assert int(first.iterations.value) == 2
    assert history["discriminator_open"] == [0, 0]
    assert history["generator_open"] == [1, 1]


def test_a_closed_gate_keeps_the_discriminator_from_the_generator():
    found = []
    for arguments in [
        {"discriminator_accuracy_range": (1.0, 1.0)},
        {"adversarial_weight": 0.0},
    ]:
        keras.utils.set_random_seed(0)
        model = make_model(**arguments)
        fit(model, keras.optimizers.SGD(0.1), adam(0.1))
        found.append(values(model.generator.trainable_variables))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("high", [0.0, 1.0])
def test_moments_of_the_discriminator_move_as_its_weights(high):
    model = make_model(
        NormalizedLogit(), discriminator_accuracy_range=(0.0, high)
    )
    model.build((BATCH, TIME, FEATURES))
    judge = model.discriminator
    moments = judge.norm.non_trainable_variables
    seed = [judge.dropout.seed_generator.state]
    before = values(moments), values(seed)
    fit(model, adam(0.1), adam(0.1))
    assert all(moved(before[0], moments)) == (high > 0)
    assert any(moved(before[0], moments)) == (high > 0)
    assert moved(before[1], seed) == [True]


@pytest.mark.parametrize("discriminator", [None, MeanLogit])
def test_regularizers_count(discriminator):
    found = []
    for size in (0.0, 0.5):
        keras.utils.set_random_seed(0)
        model = make_model(discriminator and discriminator())
        model.build((BATCH, TIME, FEATURES))
        kernels = [
            model.generator.core.cell.kernel,
            model.discriminator.trainable_variables[0],
        ]
        for kernel in kernels:
            kernel.regularizer = keras.regularizers.L2(size)
        before = values(kernels)
        fit(model, *[keras.optimizers.SGD(0.1) for _ in kernels])
        found.append(values(kernels))
    # Each in the gradient of its own net.
    for old, without, regularized in zip(before, *found, strict=True):
        np.testing.assert_allclose(
            without - regularized, 0.1 * 2 * size * old, rtol=1e-3, atol=1e-6
        )
    # The generator's in the loss.
    penalty = size * np.sum(values(kernels)[0] ** 2)
    logs = model.evaluate(make_sequences(), verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(logs["nll"] + penalty, rel=1e-5)
    logs = model.fit(make_sequences(), verbose=0).history
    expected = logs["nll"][0] + penalty
    assert logs["loss"] == pytest.approx([expected], rel=1e-5)


def test_added_losses_count():
    embedding = keras.layers.Dense(3, activity_regularizer="l2")
    generator = make_generator(embedding=embedding)
    model = ProfessorForcing(generator, matching="mse", adversarial_weight=0.0)
    model.compile("sgd", **QUICKLY)
    fitted = model.fit(make_sequences(), verbose=0).history
    assert fitted["loss"][0] > fitted["nll"][0] + 1e-4
    found = model.evaluate(make_sequences(), verbose=0, return_dict=True)
    assert found["loss"] > found["nll"] + 1e-4


def naive_gradients(model, own, sequences, mask=None):
    """Of both nets, by two runs and a pass of the discriminator for each."""
    generator, judge = model.generator, model.discriminator
    ours = generator.trainable_variables
    theirs = [] if judge is None else judge.trainable_variables
    steps = own.shape[1]
    short = None if mask is None else mask[:, :steps]

    def runs():
        given = Sequences(sequences, mask=mask)
        hidden, parameters = generator.net.run(given)
        nll = -generator.head.log_prob(parameters, sequences, mask)
        free = generator.net.run(Sequences(own, mask=short))
        on_data = [hidden[:, :steps], parameters[:, :steps]]
        return ops.mean(ops.sum(nll, axis=1)), on_data, free

    def logits(behavior):
        behavior = ops.concatenate(behavior, axis=-1)
        return judge(behavior, mask=short)

    def of_generator(weights):
        mapping = list(zip(ours, weights, strict=True))
        mapping += [(v, v.value) for v in theirs]
        with keras.StatelessScope(state_mapping=mapping):
            nll, on_data, free = runs()
            if judge is None:
                far = (free[0] - ops.stop_gradient(on_data[0])) ** 2
                if mask is not None:
                    far = ops.where(short[..., None], far, 0.0)
                cost = ops.mean(ops.sum(far, axis=(1, 2)))
            else:
                cost = -ops.mean(ops.log_sigmoid(logits(free)))
                if model.match_teacher:
                    cost -= ops.mean(ops.log_sigmoid(-logits(on_data)))
            return nll + model.adversarial_weight(0) * cost

    def of_discriminator(weights):
        mapping = list(zip(theirs, weights, strict=True))
        mapping += [(v, v.value) for v in ours]
        with keras.StatelessScope(state_mapping=mapping):
            _, on_data, free = runs()
            return -ops.mean(ops.log_sigmoid(logits(on_data))) - ops.mean(
                ops.log_sigmoid(-logits(free))
            )

    found = value_and_gradients(of_generator, values(ours), FASTEST)[1]
    if judge is None:
        return found, []
    return found, value_and_gradients(
        of_discriminator, values(theirs), FASTEST
    )[1]


@pytest.mark.parametrize(
    ("arguments", "masked"),
    [
        ({}, False),
        ({"match_teacher": True}, False),
        ({"match_teacher": True, "adversarial_weight": 3.0}, True),
        ({"discriminator": MeanLogit, "match_teacher": True}, False),
        ({"free_running_steps": 3}, True),
        ({"matching": "mse"}, True),
        ({"match_teacher": True, "adversarial_weight": 3.0}, True),
        ({"logit": -40.0, "match_teacher": True}, False),
        ({"logit": 40.0, "match_teacher": True}, False),
    ],
    ids=[
        "default",
        "jit",
        "match_teacher",
        "another",
        "short",
        "mse",
        "jit_match_teacher",
        "sure",
        "sure_of_data",
    ],
)
def test_gradients_are_those_of_separate_passes(arguments, masked, request):
    arguments = dict(arguments)
    if "discriminator" in arguments:
        arguments["discriminator"] = arguments["discriminator"]()
    logit = arguments.pop("logit", None)
    model = make_model(**arguments)
    model.build((BATCH, TIME, FEATURES))
    if logit is not None:
        model.discriminator._logit.bias.assign([logit])
    sequences = make_sequences()
    mask = np.arange(TIME) < np.array([[5], [2], [4], [5]]) if masked else None
    data = {"sequences": sequences, "mask": mask} if masked else sequences
    seed = values([model.generator.seed_generator.state])[0]
    cut = slice(None, model.free_running_steps)
    jit = "jit" in request.node.name

    def draw(sequences, mask):
        given = Sequences(sequences, mask=mask)
        return model.generator.net.sample(given).values

    # XLA draws other numbers from the same seed.
    draw = model.generator._compiled("draw", draw) if jit else draw
    own = ops.convert_to_numpy(
        draw(
            ops.convert_to_tensor(sequences[:, cut]),
            ops.convert_to_tensor(mask[:, cut]) if masked else None,
        )
    )
    expected = naive_gradients(
        model, own, sequences, ops.convert_to_tensor(mask) if masked else None
    )
    model.generator.seed_generator.state.assign(seed)
    nets = [model.generator]
    nets += [] if model.discriminator is None else [model.discriminator]
    before = [values(net.trainable_variables) for net in nets]
    compiled = {"jit_compile": True} if jit else None
    optimizers = keras.optimizers.SGD(1.0), keras.optimizers.SGD(1.0)
    fit(model, *optimizers, data, compiled)
    for net, old, gradients in zip(nets, before, expected, strict=False):
        new = values(net.trainable_variables)
        for a, b, gradient in zip(old, new, gradients, strict=True):
            np.testing.assert_allclose(a - b, gradient, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("updates", [0, 2, 7])
def test_the_weight_is_that_of_its_schedule(updates):
    schedule = LinearSchedule(0.5, 3.0, 4)
    found = []
    for weight in (schedule, float(schedule(updates))):
        keras.utils.set_random_seed(0)
        model = make_model(adversarial_weight=weight)
        model.build((BATCH, TIME, FEATURES))
        model.updates.assign(updates)
        fit(model, keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
        assert int(model.updates.value) == updates + 1
        found.append(values(model.generator.trainable_variables))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_one_optimizer_is_copied():
    model = make_model()
    model.compile(keras.optimizers.Adam(0.03, beta_1=0.5))
    first, second = model._optimizers
    assert first is not second
    assert first.get_config() == second.get_config()
    model.compile("adam")
    first, second = model._optimizers
    assert first is not second and type(first) is type(second)


def test_the_adversarial_gradient_reaches_the_recurrence():
    found = []
    for weight in (0.0, 1.0):
        keras.utils.set_random_seed(0)
        model = make_model(adversarial_weight=weight)
        fit(model, keras.optimizers.SGD(1.0), keras.optimizers.SGD(0.0))
        found.append(values([model.generator.core.cell.recurrent_kernel])[0])
    assert np.abs(found[0] - found[1]).max() > 1e-4


def test_padding_changes_nothing():
    model = make_model(matching="mse")
    sequences = make_sequences()
    padded = np.pad(sequences, [(0, 0), (0, 2), (0, 0)], constant_values=np.nan)
    mask = np.tile(np.arange(TIME + 2) < TIME, (BATCH, 1))
    plain = model(sequences)
    found = model({"sequences": padded, "mask": mask})
    np.testing.assert_allclose(
        found.nats[:, :TIME], plain.nats, rtol=1e-5, atol=1e-6
    )
    assert (ops.convert_to_numpy(found.nats)[:, TIME:] == 0).all()
    behaviors = ops.convert_to_numpy(found.behaviors)
    assert np.isfinite(behaviors).all()


def test_training_resumes_with_both_optimizers(tmp_path):
    model = make_model(adversarial_weight=LinearSchedule(0.0, 1.0, 4))
    sequences = make_sequences(8)
    fit(model, adam(1e-2), adam(2e-2), sequences, epochs=2)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(
        tmp_path / "model.keras",
    )
    for one in (model, loaded):
        assert int(one.updates.value) == 4
    losses = []
    for one in (model, loaded):
        history = one.fit(
            sequences, batch_size=BATCH, epochs=2, verbose=0, shuffle=False
        ).history
        losses.append([*history["loss"], *history["discriminator_loss"]])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for a, b in zip(
        model.optimizer.variables, loaded.optimizer.variables, strict=True
    ):
        np.testing.assert_allclose(*values([a, b]), rtol=1e-4, atol=1e-6)

    model.generator.save(tmp_path / "generator.keras")
    generator = keras.saving.load_model(tmp_path / "generator.keras")
    assert type(generator) is AutoregressiveRNN
    np.testing.assert_array_equal(
        generator.generate(length=6, seed=3), model.generate(length=6, seed=3)
    )


def test_metrics():
    model = make_model()
    model.compile("adam", **QUICKLY)
    history = model.fit(make_sequences(), verbose=0).history
    found = model.evaluate(make_sequences(), verbose=0, return_dict=True)
    gates = {"discriminator_open", "generator_open"}
    assert set(history) == set(found) | gates
    assert not gates & set(found)
    expected = -model.log_likelihood(make_sequences()).mean()
    assert found["nll"] == pytest.approx(expected, rel=1e-5)
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
    assert 0 <= found["discriminator_accuracy"] <= 1
    both = model.fit(
        make_sequences(), validation_data=(make_sequences(), None), verbose=0
    ).history
    assert set(both) == set(history) | {f"val_{name}" for name in found}


def softplus(x):
    return np.logaddexp(0, x)


def gap_of(on_data, free, mask):
    """`mean_discrepancy`, a pair of rows after the other."""
    batch, time = mask.shape
    total = count = 0
    for t in range(time):
        pairs = [
            (i, i - 1) for i in range(batch) if mask[i, t] and mask[i - 1, t]
        ]
        if not pairs:
            continue
        a, b = on_data[:, t], free[:, t]
        width = np.mean([np.sum((a[i] - a[j]) ** 2) for i, j in pairs])
        size = np.mean([np.sum(a[i] ** 2) for i, _ in pairs])
        width = max(width, 1e-6 * size) + 1e-12

        def kernel(x, y, width=width):
            return np.exp(-np.sum((x - y) ** 2) / (2 * width))

        for i, j in pairs:
            total += kernel(a[i], a[j]) + kernel(b[i], b[j])
            total -= kernel(a[i], b[j]) + kernel(b[i], a[j])
            count += 1
    return total / count


@pytest.mark.parametrize("training", [True, False])
def test_metrics_are_those_of_their_definition(training):
    model = make_model(match_teacher=True)
    mask = np.arange(TIME) < np.array([[5], [2], [4], [5]])
    data = {"sequences": make_sequences(), "mask": mask}
    model.build({"sequences": (BATCH, TIME, FEATURES), "mask": (BATCH, TIME)})
    model.generator.seed_generator.state.assign([3, 3])
    runs = model(data)
    judge = model.discriminator
    logits = ops.convert_to_numpy(judge(runs.behaviors, mask=runs.mask))
    # So that some rows are on the wrong side.
    middle = np.median(logits)
    judge._logit.bias.assign([-middle])
    logits = logits.astype("float64") - middle
    on_data, free = np.split(logits, 2)
    hidden = ops.convert_to_numpy(runs.hidden).astype("float64")
    expected = {
        "nll": ops.convert_to_numpy(runs.nats)[mask].sum() / BATCH,
        "discriminator_loss": (softplus(-on_data) + softplus(free)).mean(),
        "discriminator_accuracy": np.append(on_data > 0, free <= 0).mean(),
        "adversarial_loss": (softplus(-free) + softplus(on_data)).mean(),
        "free_running_gap": gap_of(*np.split(hidden, 2), mask),
    }
    assert 0 < expected["discriminator_accuracy"] < 1
    model.generator.seed_generator.state.assign([3, 3])
    model.compile(*map(keras.optimizers.SGD, (0.0, 0.0)), run_eagerly=True)
    if training:
        history = model.fit(data, shuffle=False, verbose=0).history
        found = {name: x[0] for name, x in history.items()}
    else:
        found = model.evaluate(data, verbose=0, return_dict=True)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-3, abs=1e-5), name


def test_metrics_are_means_over_sequences():
    model = make_model()
    sequences = make_sequences(BATCH + 1)
    sequences[-1] *= 3
    # Of one row alone nothing is known of the gap.
    fit(model, *map(adam, (0.0, 0.0)), sequences[:BATCH])
    model.generator.seed_generator.state.assign([3, 3])
    arguments = {"batch_size": BATCH, "verbose": 0, "return_dict": True}
    first = model.evaluate(sequences[:BATCH], **arguments)
    model.generator.seed_generator.state.assign([3, 3])
    found = model.evaluate(sequences, **arguments)
    gap = first["free_running_gap"]
    assert found["free_running_gap"] == pytest.approx(gap, rel=1e-4)
    nats = -model.log_likelihood(sequences).mean()
    history = model.fit(sequences, batch_size=BATCH, verbose=0).history
    for logs in (found, {name: x[0] for name, x in history.items()}):
        assert logs["nll"] == pytest.approx(nats, rel=1e-5)
        assert logs["loss"] == pytest.approx(nats, rel=1e-5)
        # A mean over ten behaviors, not over two batches.
        tenths = 10 * logs["discriminator_accuracy"]
        assert tenths == pytest.approx(round(tenths), abs=1e-4)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision(dtype, tmp_path):
    keras.config.set_dtype_policy(dtype)
    try:
        model = make_model(layers.BehaviorDiscriminator(4, dtype="float32"))
        model.build((BATCH, TIME, FEATURES))
        nets = model.generator, model.discriminator
        before = [values(net.trainable_variables) for net in nets]
        optimizers = adam(0.01), adam(0.01)
        model.compile(*optimizers, **QUICKLY)
        history = model.fit(make_sequences(), epochs=2, verbose=0).history
        assert all(np.isfinite(x).all() for x in history.values())
        for net, old in zip(nets, before, strict=True):
            assert all(moved(old, net.trainable_variables))
        for optimizer in optimizers:  # No step was left out.
            assert int(optimizer.iterations.value) == 2
        path = tmp_path / "model.keras"
        model.save(path)
        loaded = keras.saving.load_model(path)
        for a, b in zip(model.weights, loaded.weights, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(*values([a, b]))
        for one in (model, loaded):
            one.generator.seed_generator.state.assign([3, 3])
        losses = [
            one.evaluate(make_sequences(), verbose=0) for one in (model, loaded)
        ]
        assert losses[0] == losses[1]
        if dtype == "mixed_float16":
            with pytest.raises(ValueError, match="vanishes in float16"):
                make_model(layers.BehaviorDiscriminator(4))
    finally:
        keras.config.set_dtype_policy("float32")


def test_bad_arguments():
    generator = make_generator()
    for arguments, message in [
        ({"discriminator_accuracy_range": (0.9, 0.5)}, "the lower one first"),
        ({"discriminator_accuracy_range": (0.5, 2)}, "two numbers in"),
        ({"matching": "kl"}, "`matching` to be one of"),
        ({"free_running_steps": 1}, "to be an integer of at least 2 or None"),
        ({"matching": "mse", "match_teacher": True}, "is no discriminator"),
        ({"adversarial_weight": "much"}, "a weight to be a finite number"),
        ({"adversarial_weight": -1}, "to be a non-negative number or a"),
    ]:
        with pytest.raises(ValueError, match=message):
            ProfessorForcing(generator, **arguments)
    with pytest.raises(ValueError, match="to be an `AutoregressiveRNN`"):
        ProfessorForcing(keras.layers.LSTM(3))
    with pytest.raises(ValueError, match="at least 2 steps"):
        make_model()(make_sequences(time=1))
    model = make_model()
    model.build((None, None, FEATURES))
    with pytest.raises(ValueError, match="at least 2 steps"):
        fit(model, "sgd", "sgd", make_sequences(time=1))
    built = layers.BehaviorDiscriminator(4)
    built.build((None, None, 3))
    with pytest.raises(ValueError, match="expected axis -1 .* value 3"):
        ProfessorForcing(make_generator(), built)(make_sequences())
    with pytest.raises(ValueError, match=r"into logits \(batch,\)"):
        ProfessorForcing(make_generator(), keras.layers.Dense(1))(
            make_sequences()
        )
    model = make_model()
    one = adam(0.1)
    with pytest.raises(ValueError, match="needs its own optimizer"):
        model.compile(one, one)
    with pytest.raises(ValueError, match=r"Received: \['loss'\]"):
        model.compile("adam", loss="mse")


HEADS = {
    "gaussian": lambda: layers.GaussianHead(3),
    "mixture": lambda: layers.GaussianMixtureHead(3, num_components=2),
    "bernoulli": lambda: layers.BernoulliHead(3),
    "categorical": lambda: layers.CategoricalHead(2),
    "levels": lambda: layers.DiscretizedLogisticMixtureHead(
        3, num_components=2, num_levels=2
    ),
    "pen": lambda: layers.PenStrokeHead(num_components=2),
}


@pytest.mark.parametrize("name", HEADS)
def test_every_head_is_trained_and_generates(name):
    head = HEADS[name]()
    embedding = None
    sequences = np.random.default_rng(0).integers(0, 2, (BATCH, TIME, 3))
    sequences = sequences.astype("int32" if head.gives_integers else "float32")
    if name == "categorical":
        sequences = sequences[..., 0]
        embedding = keras.layers.Embedding(2, 3)
    generator = AutoregressiveRNN(
        keras.layers.GRUCell(UNITS),
        head,
        embedding,
        condition_network=keras.layers.Embedding(2, 3),
        seed=1,
    )
    model = ProfessorForcing(
        generator,
        layers.BehaviorDiscriminator(4),
        discriminator_accuracy_range=ALWAYS,
    )
    conditions = np.arange(BATCH) % 2
    data = {"sequences": sequences, "conditions": conditions}
    model.build({name: x.shape for name, x in data.items()})
    nets = generator, model.discriminator
    before = [values(net.trainable_variables) for net in nets]
    fit(model, adam(0.01), adam(0.01), data)
    for net, old in zip(nets, before, strict=True):
        for variable, has_moved in zip(
            net.trainable_variables,
            moved(old, net.trainable_variables),
            strict=True,
        ):
            assert has_moved, variable.path
    given = {"conditions": conditions, "seed": 0}
    for samples in (
        model.generate(length=TIME, **given),
        generator.forecast(sequences, horizon=TIME, num_samples=1, **given)[
            :, 0
        ],
    ):
        assert samples.shape == sequences.shape
        possible = head.is_possible(
            ops.convert_to_tensor(samples.astype("float32"))
        )
        if possible is None:
            possible = np.isfinite(samples)
        assert np.all(possible)


def test_nan_is_reported_with_its_batch():
    model = make_model()
    sequences = make_sequences(8)
    sequences[5] = np.nan
    with pytest.raises(ValueError, match="batch 1 .* of epoch 1 is not finite"):
        fit(model, "sgd", "sgd", sequences)


def test_a_discriminator_that_is_not_finite_is_reported():
    model = make_model()
    with pytest.raises(
        ValueError, match="not finite.* discriminator_loss=(nan|inf)"
    ):
        fit(
            model,
            keras.optimizers.SGD(0.0),
            keras.optimizers.SGD(1e30),
            make_sequences(16),
            epochs=2,
        )
