import copy
import errno
import pathlib
import re

import keras
import numpy as np
import pytest

from keras_seqcredit import callbacks
from keras_seqcredit.callbacks.summary_writer import SummaryWriter
from keras_seqcredit.callbacks.summary_writer import wav
from keras_seqcredit.callbacks.view import View
from tests.callbacks import event_files
from tests.callbacks.small_models import TIME
from tests.callbacks.small_models import bits
from tests.callbacks.small_models import generator
from tests.callbacks.small_models import professor
from tests.callbacks.small_models import reader
from tests.callbacks.small_models import walkback
from tests.callbacks.small_models import z_forcing

LABELS = np.array([0, 1, 0, 1, 0, 1])
POINTS = np.random.default_rng(0).normal(size=(6, 2)).astype("float32")

# For each view: a model that it fits, data, and the view.
CASES = {
    "AttentionMap": (
        reader,
        (bits(), LABELS),
        lambda folder: callbacks.AttentionMap(bits(), folder),
    ),
    "CreditAssignment": (
        reader,
        (bits(), LABELS),
        lambda folder: callbacks.CreditAssignment(bits(), LABELS, folder),
    ),
    "LatentMonitor": (
        z_forcing,
        (bits(),),
        lambda folder: callbacks.LatentMonitor(bits(), folder, patience=9),
    ),
    "DynamicsProjector": (
        professor,
        (bits(),),
        lambda folder: callbacks.DynamicsProjector(bits(), folder),
    ),
    "SampleLogger": (
        generator,
        (bits(),),
        lambda folder: callbacks.SampleLogger(folder, length=TIME),
    ),
    "WalkbackTrajectory": (
        walkback,
        (POINTS,),
        lambda folder: callbacks.WalkbackTrajectory(POINTS, folder),
    ),
    "ScheduleLogger": (
        z_forcing,
        (bits(),),
        lambda folder: callbacks.ScheduleLogger(folder),
    ),
}


def fit(model, data, views, **kwargs):
    kwargs = {"epochs": 2, "batch_size": 3, "verbose": 0, **kwargs}
    return model.fit(*data, callbacks=views, **kwargs)


def test_every_view_has_a_case():
    found = [getattr(callbacks, name) for name in callbacks.__all__]
    assert set(CASES) == {x.__name__ for x in found if issubclass(x, View)}


# Nets that take long to trace are trained on one backend.
WITHOUT = {
    name
    for name, (make, _, _) in CASES.items()
    if keras.backend.backend() == "jax" or make not in (z_forcing, professor)
}


@pytest.mark.parametrize("name", sorted(WITHOUT))
def test_training_is_the_same_with_and_without(name, tmp_path):
    make, data, view = CASES[name]
    found = []
    for views in ([], [view(tmp_path)]):
        keras.utils.set_random_seed(0)
        model = make()
        history = fit(model, data, views)
        found.append((history.history["loss"], model.get_weights()))
    (losses, weights), (losses_seen, weights_seen) = found
    np.testing.assert_allclose(losses, losses_seen, rtol=1e-6)
    for a, b in zip(weights, weights_seen, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", sorted(WITHOUT))
def test_can_be_copied_before_and_after_it_has_a_model(name, tmp_path):
    make, data, view = CASES[name]
    one = view(tmp_path / "one")
    before = copy.deepcopy(one)
    fit(make(), data, [one], epochs=1)
    after = copy.deepcopy(one)
    assert type(before) is type(after) is type(one)
    # Each is of another training, and writes what it sees there.
    model = make()
    fit(model, data, [before, after], epochs=1)
    assert before.seconds > 0 and after.seconds > 0
    assert len({one.log_dir, before.log_dir, after.log_dir}) == 3
    assert all(any(x.log_dir.iterdir()) for x in (before, after))


def test_a_resume_can_be_copied_with_what_it_keeps(tmp_path):
    kept = keras.callbacks.EarlyStopping("loss", patience=3)
    resume = callbacks.ExactResume(tmp_path, keep=[kept])
    model = reader()
    fit(model, (bits(), LABELS), [kept, resume], epochs=1)
    kept_copy, copied = copy.deepcopy([kept, resume])
    assert copied.keep == [kept_copy] and kept_copy is not kept
    fit(reader(), (bits(), LABELS), [kept_copy, copied], epochs=1)


@pytest.mark.parametrize("name", sorted(set(CASES) - {"ScheduleLogger"}))
def test_says_which_views_fit_another_model(name, tmp_path):
    _, _, view = CASES[name]
    other = walkback if name != "WalkbackTrajectory" else generator
    if name == "SampleLogger":
        other = reader
    model = other()
    fitting = [
        view_name
        for view_name in CASES
        if getattr(callbacks, view_name).fits(model)
    ]
    names = ", ".join(f"`{x}`" for x in sorted(fitting))
    message = rf"Received: model {model.name} .* Suitable views: {names}$"
    with pytest.raises(ValueError, match=message):
        view(tmp_path).set_model(model)
    assert "ScheduleLogger" in fitting


@pytest.mark.parametrize("name", CASES)
def test_frequency_is_checked(name, tmp_path):
    make, data, view = CASES[name]
    cls = getattr(callbacks, name)
    arguments = {
        "AttentionMap": (bits(), tmp_path),
        "CreditAssignment": (bits(), LABELS, tmp_path),
        "SampleLogger": (tmp_path,),
        "ScheduleLogger": (tmp_path,),
    }.get(name, (bits(), tmp_path))
    with pytest.raises(ValueError, match=r"Received: frequency=0"):
        cls(*arguments, frequency=0)


def test_looks_every_so_many_epochs(tmp_path):
    view = callbacks.ScheduleLogger(tmp_path, frequency=2)
    fit(generator(), (bits(),), [view], epochs=5)
    steps = event_files.scalars(tmp_path / "schedules")["objective/nats"]
    assert [step for step, _ in steps] == [1, 3]
    assert view.seconds > 0


def test_two_runs_do_not_mix(tmp_path):
    for _ in range(2):
        view = callbacks.ScheduleLogger(tmp_path)
        fit(generator(), (bits(),), [view])
        # The same object again.
        fit(generator(), (bits(),), [view], epochs=1)
    folders = sorted(path.name for path in tmp_path.iterdir())
    names = ["schedules", *(f"schedules-{i}" for i in (2, 3, 4))]
    assert folders == names
    for folder, epochs in zip(names, (2, 1, 2, 1), strict=True):
        found = event_files.scalars(tmp_path / folder)["objective/nats"]
        assert [step for step, _ in found] == list(range(epochs))


def test_a_run_after_one_that_was_cut_short_does_not_mix(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    view = callbacks.ScheduleLogger(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fit(generator(), (bits(),), [view, Stop()])
    fit(generator(), (bits(),), [view], epochs=2)
    for folder, epochs in (("schedules", 1), ("schedules-2", 2)):
        found = event_files.scalars(tmp_path / folder)["objective/nats"]
        assert [step for step, _ in found] == list(range(epochs))


def test_a_generator_of_another_model_is_not_taken_for_it(tmp_path):
    class GAN(keras.Model):
        def __init__(self):
            super().__init__()
            self.generator = generator()

    with pytest.raises(ValueError, match="Received: model .*GAN"):
        callbacks.CreditAssignment(bits(), None, tmp_path).set_model(GAN())


def test_a_run_that_goes_on_appends(tmp_path):
    fit(generator(), (bits(),), [callbacks.ScheduleLogger(tmp_path)])
    model = generator()
    # What the first run wrote of epoch 1 was lost with it.
    fit(
        model,
        (bits(),),
        [callbacks.ScheduleLogger(tmp_path)],
        initial_epoch=1,
        epochs=3,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["schedules"]
    found = event_files.scalars(tmp_path / "schedules")["objective/nats"]
    assert [step for step, _ in found] == [0, 1, 2]


def test_resumes_with_backup_and_restore(tmp_path):
    class Killed(Exception):
        pass

    class Kill(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise Killed

    def train(*more):
        model = generator()
        views = [
            callbacks.ScheduleLogger(tmp_path / "logs"),
            keras.callbacks.BackupAndRestore(str(tmp_path / "backup")),
            *more,
        ]
        fit(model, (bits(),), views, epochs=4)

    with pytest.raises(Killed):
        train(Kill())
    train()
    assert [path.name for path in (tmp_path / "logs").iterdir()] == [
        "schedules"
    ]
    found = event_files.scalars(tmp_path / "logs" / "schedules")
    assert [step for step, _ in found["objective/nats"]] == [0, 1, 2, 3]


def warned_once(caught):
    messages = [str(w.message) for w in caught]
    return sum("No more of `ScheduleLogger`" in m for m in messages) == 1


def test_unwritable_folder_gives_one_warning(tmp_path):
    (tmp_path / "logs").write_text("in the way")
    with pytest.warns(UserWarning, match="cannot be written") as caught:
        history = fit(
            generator(),
            (bits(),),
            [callbacks.ScheduleLogger(tmp_path / "logs")],
        )
    assert len(history.epoch) == 2
    assert warned_once(caught)


def test_full_disk_gives_one_warning(tmp_path, monkeypatch):
    """As of `/dev/full`: it opens, and has no space left."""
    if not pathlib.Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    monkeypatch.setattr(
        pathlib.Path, "open", lambda *_, **__: open("/dev/full", "wb")
    )
    with pytest.warns(UserWarning, match="No space left") as caught:
        history = fit(
            generator(), (bits(),), [callbacks.ScheduleLogger(tmp_path)]
        )
    assert len(history.epoch) == 2
    assert warned_once(caught)


def test_disk_that_fills_up_gives_one_warning(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    class FillUp(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                monkeypatch.setattr(SummaryWriter, "scalar", full)

    views = [FillUp(), callbacks.ScheduleLogger(tmp_path)]
    with pytest.warns(UserWarning, match="No space left") as caught:
        fit(generator(), (bits(),), views, epochs=4)
    assert warned_once(caught)
    found = event_files.scalars(tmp_path / "schedules")["objective/nats"]
    assert [step for step, _ in found] == [0]


def test_every_kind_of_summary(tmp_path):
    writer = SummaryWriter(tmp_path / "run")
    writer.scalar("a/scalar", 0.5, 3)
    wave = np.sin(np.linspace(0, 100, 800))
    writer.audio("a/sound", wave, 8000, 3)
    writer.text("a/text", "naïve *text*", 3)
    writer.json("credit/a", '{"kind": "reads"}', 3)
    writer.close()
    events = event_files.read(tmp_path / "run")
    assert event_files.scalars(tmp_path / "run") == {"a/scalar": [(3, 0.5)]}
    (sound,) = events.Audio("a/sound")
    assert (sound.sample_rate, sound.length_frames) == (8000, 800)
    assert sound.encoded_audio_string == wav(wave, 8000)
    texts = event_files.strings(tmp_path / "run")
    assert texts["a/text"] == [(3, "naïve *text*".encode())]
    assert texts["credit/a"] == [(3, b'{"kind": "reads"}')]
    assert event_files.plugin_of(tmp_path / "run", "a/text") == "text"
    assert event_files.plugin_of(tmp_path / "run", "credit/a") == "credit"


def test_wav_is_what_was_given():
    import io
    import wave

    samples = np.array([0.0, 0.5, -0.5, 1.0, -1.0, 2.0])
    with wave.open(io.BytesIO(wav(samples, 16000))) as file:
        assert file.getparams()[:4] == (1, 2, 16000, 6)
        found = np.frombuffer(file.readframes(6), "<i2") / 32767
    np.testing.assert_allclose(found, np.clip(samples, -1, 1), atol=1 / 32767)


@pytest.mark.parametrize("x", [np.zeros((0, TIME, 1)), np.zeros(())])
@pytest.mark.parametrize(
    "view",
    [
        lambda x, folder: callbacks.AttentionMap(x, folder),
        lambda x, folder: callbacks.CreditAssignment(x, None, folder),
        lambda x, folder: callbacks.LatentMonitor(x, folder),
        lambda x, folder: callbacks.DynamicsProjector(x, folder),
        lambda x, folder: callbacks.WalkbackTrajectory(x, folder),
    ],
)
def test_empty_data(view, x, tmp_path):
    message = re.escape(f"[{x.shape}]")
    with pytest.raises(ValueError, match=f"Received: shapes {message}"):
        view(x, tmp_path)
