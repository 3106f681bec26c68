"""Searches of several processes end, whatever happens to these."""

import functools
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from unittest import mock

import keras
import keras_tuner
import pytest

from keras_seqcredit import tuners
from keras_seqcredit.tuners.search_process import run_worker
from tests.backend_imports_test import environment
from tests.on_one_backend import only_on
from tests.tuners import searching_processes
from tests.tuners.conftest import small
from tests.tuners.conftest import statuses
from tests.tuners.searching_processes import make_plain
from tests.tuners.searching_processes import notes
from tests.tuners.searching_processes import plain_search
from tests.tuners.searching_processes import search_plain
from tests.tuners.searching_processes import tiny_search

# The function hides its module.
parallel = importlib.import_module("keras_seqcredit.tuners.parallel_search")
# Seconds in which processes end that have no parent any more.
SOON = 20


@pytest.fixture
def search(tmp_path, monkeypatch):
    """`search(*does)`, of plain trials in two processes."""
    monkeypatch.chdir(tmp_path)

    yield functools.partial(plain_search, str(tmp_path))
    assert_all_end(tmp_path)


def assert_all_end(folder):
    deadline = time.monotonic() + SOON
    while running(folder):
        assert time.monotonic() < deadline, running(folder)
        time.sleep(0.2)


def running(folder):
    pids = {found["pid"] for found in notes(folder)} - {os.getpid()}
    command = ["ps", "-o", "pid=,stat=", "-p", ",".join(map(str, pids))]
    lines = subprocess.run(command, capture_output=True, text=True).stdout
    # Nobody may have asked for the exit code of an orphan.
    return [line for line in lines.splitlines() if line.split()[1][0] != "Z"]


def start(folder, *command, **variables):
    return subprocess.Popen(
        [sys.executable, "-m", searching_processes.__name__, *command],
        cwd=folder,
        env={
            **environment(),
            "KERAS_BACKEND": keras.backend.backend(),
            **variables,
        },
        stderr=subprocess.PIPE,
        text=True,
    )


@only_on("jax")
def test_a_killed_search_ends_and_goes_on(tmp_path, monkeypatch):
    process = start(tmp_path, "tiny_search", str(tmp_path), "1")
    with process:
        deadline = time.monotonic() + 90
        # A worker, and what it has started.
        while len(notes(tmp_path)) < 2:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
        assert len(running(tmp_path)) == 2
        process.kill()
        assert_all_end(tmp_path)
    before = {found["pid"] for found in notes(tmp_path)}
    monkeypatch.chdir(tmp_path)
    cores = os.sched_getaffinity(0)
    environ = dict(os.environ)
    tuner = tiny_search(str(tmp_path), 2)
    assert statuses(tuner) == ["COMPLETED"] * 2
    assert tuner.get_best_models()[0].built
    # No epoch that had ended was run again.
    epochs = (tmp_path / "epochs").read_text().split()
    assert epochs[:3] == ["0", "1", "2"]
    assert sorted(epochs[3:]) == ["0", "1", "2", "2"]
    for number in range(2):
        assert any((tmp_path / f"logs/trial_{number}").rglob("events*"))
    workers = [x for x in notes(tmp_path) if x["pid"] not in before]
    assert sorted(x["id"] for x in workers) == ["worker0", "worker1"]
    assert [x["gpus"] for x in workers] == ["-1", "-1"]
    shares = [set(x["cores"]) for x in workers]
    assert shares[0] | shares[1] == cores
    assert len(cores) == 1 or not shares[0] & shares[1]
    assert os.sched_getaffinity(0) == cores
    assert dict(os.environ) == environ
    assert_all_end(tmp_path)


@only_on("jax")
def test_each_worker_is_given_a_gpu(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    make = functools.partial(make_plain, str(tmp_path), ("complete", "fail"))
    cores = sorted(os.sched_getaffinity(0))
    tuner = tuners.parallel_search(make, search_plain, gpus=["0", 1], verbose=0)
    assert statuses(tuner) == ["COMPLETED", "FAILED"]
    found = {x["id"]: x for x in notes(tmp_path)}
    assert {name: x["gpus"] for name, x in found.items()} == {
        "new_chief": "-1",
        "worker0": "0",
        "worker1": "1",
        None: "0,1,2",  # This process.
    }
    # Cores are not shared out.
    assert all(x["cores"] == cores for x in found.values())
    assert_all_end(tmp_path)


@only_on("jax")
def test_a_killed_worker_has_failed_its_trial(search, capfd):
    """`GridSearch` waits for the end of trials: also of that one."""
    with pytest.warns(UserWarning, match="was ended by SIGKILL in trial") as w:
        tuner = search("complete", "be killed", "fail", "complete too")
    assert len([x for x in w if "SIGKILL" in str(x.message)]) == 1
    trials = {
        trial.hyperparameters.get("does"): trial
        for trial in tuner.oracle.trials.values()
    }
    assert {does: trial.status for does, trial in trials.items()} == {
        "complete": "COMPLETED",
        "be killed": "FAILED",
        "fail": "FAILED",
        "complete too": "COMPLETED",
    }
    assert "ended by SIGKILL" in trials["be killed"].message
    # KerasTuner does not pass messages on, nor does it look at conditions.
    assert "FailedTrialError: No luck." in trials["fail"].message
    assert trials["complete"].hyperparameters.values["reason"] == "luck"
    assert "reason" not in trials["fail"].hyperparameters.values
    # It prints what they depend on.
    assert "complete" not in capfd.readouterr().out.splitlines()


@only_on("jax")
def test_an_error_of_a_worker_ends_the_search(search):
    message = r"failed in worker[01](.|\n)*FatalValueError: Nothing fits"
    with pytest.raises(RuntimeError, match=message):
        search("never end", "end the search")


@only_on("jax")
def test_an_error_of_the_chief_ends_the_search(search):
    """After it, KerasTuner's chief would wait for ever."""
    message = r"The chief has failed: .*Number of consecutive failures"
    with pytest.raises(RuntimeError, match=message):
        search("fail", "fail too", "fail again", num_workers=1)


@only_on("jax")
def test_the_end_of_the_chief_ends_the_search(search):
    message = "answer of the chief. Received: its end, exit code -9"
    with pytest.raises(RuntimeError, match=message):
        search("kill the chief", num_workers=1)


@only_on("jax")
def test_an_interrupted_search_ends(tmp_path, search):
    def interrupt():
        while len(notes(tmp_path)) < 3:
            time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    # A shell that starts the tests in the background ignores the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            search("never end", num_workers=1)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(notes(tmp_path)) == 3
    assert running(tmp_path) == []


@only_on("jax")
def test_several_hosts(tmp_path, monkeypatch):
    """By the environment alone, each process takes its part."""
    with parallel._reserved_port() as port:
        variables = {
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": str(port),
        }
        does = ("complete", "fail")
        chief = start(
            tmp_path,
            "plain_search",
            str(tmp_path),
            *does,
            **variables,
            KERASTUNER_TUNER_ID="chief",
        )
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("KERASTUNER_TUNER_ID", "host1")
        make = functools.partial(make_plain, str(tmp_path), does)
        with chief:
            found = tuners.parallel_search(make, search_plain)
            chief.communicate(timeout=30)
    assert found is None
    assert chief.returncode == 0
    for name in (*variables, "KERASTUNER_TUNER_ID"):
        monkeypatch.delenv(name)
    assert statuses(make()) == ["COMPLETED", "FAILED"]


@pytest.fixture
def as_worker(monkeypatch):
    with parallel._reserved_port() as port:
        monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
        monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(port))
        monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker0")
        yield port


def test_worker_without_a_chief_gives_up(tmp_path, as_worker):
    make = functools.partial(make_plain, str(tmp_path), ("complete",))
    start = time.monotonic()
    with pytest.raises(
        RuntimeError,
        match=f"chief at 127.0.0.1:{as_worker}.*no answer within 1.5 seconds",
    ):
        tuners.parallel_search(make, search_plain, timeout=1.5)
    assert 1 < time.monotonic() - start < 10


@pytest.fixture
def as_chief(monkeypatch):
    with parallel._reserved_port() as port:
        monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
        monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(port))
        monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
        yield


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


class OtherTuner(keras_tuner.RandomSearch):
    pass


@pytest.mark.parametrize(
    "change, message",
    [
        ({"objective": keras_tuner.Objective("loss", "max")}, r"loss \(max\)"),
        ({"kind": OtherTuner}, "tuner RandomSearch became OtherTuner"),
        ({"units": [2, 3]}, "other hyperparameters units"),
        ({"more": True}, "other hyperparameters layers"),
        ({"epochs": 3}, "other hyperparameters epochs"),
    ],
)
def test_chief_leaves_the_folder_of_another_search(
    tmp_path, points, as_chief, monkeypatch, change, message
):
    def make(
        kind=keras_tuner.RandomSearch,
        objective=None,
        units=(1, 2),
        more=False,
        epochs=1,
    ):
        hyperparameters = keras_tuner.HyperParameters()
        hyperparameters.Choice("units", list(units))
        if more:
            hyperparameters.Int("layers", 1, 2)
        space = small(epochs=epochs, objective=objective)
        return kind(
            space,
            objective=space.objective,
            max_trials=1,
            hyperparameters=hyperparameters,
            directory=tmp_path,
            project_name="search",
        )

    with monkeypatch.context() as alone:
        for name in ("IP", "PORT"):
            alone.delenv(f"KERASTUNER_ORACLE_{name}")
        make().search(*points, validation_data=points, verbose=0)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=message):
        tuners.parallel_search(lambda: make(**change), None)
    assert contents(tmp_path) == before


def test_search_of_one_process_leaves_another_objective(make_tuner, points):
    tuner = make_tuner(small(), max_trials=1)
    tuner.search(*points, validation_data=points, verbose=0)
    objective = keras_tuner.Objective("loss", "min")
    tuner = make_tuner(small(objective=objective))
    with pytest.raises(ValueError, match=r"val_loss \(min\) became loss"):
        tuner.search(*points, validation_data=points, verbose=0)
    tuner = make_tuner(small())
    tuner.search(*points, validation_data=points, verbose=0)
    assert statuses(tuner) == ["COMPLETED", "COMPLETED"]


@pytest.fixture
def no_processes(monkeypatch):
    def start(*args):
        raise AssertionError("A process was started.")

    monkeypatch.setattr(parallel, "_Processes", start)


@pytest.mark.usefixtures("no_processes")
@pytest.mark.parametrize(
    "change, message",
    [
        ({"make_tuner": lambda: None}, "`make_tuner` to be a function"),
        ({"make_tuner": None}, "`make_tuner` to be a function"),
        ({"search": lambda tuner: None}, "`search` to be a function"),
        ({"num_workers": 0}, "`num_workers` to be a positive"),
        ({"num_workers": None}, "`num_workers` to be a positive"),
        ({"num_workers": 3, "gpus": [0, 1]}, "no more workers than GPUs"),
        ({"gpus": "0,1"}, '`gpus` to be "auto" or a list'),
        ({"gpus": [0.5]}, '`gpus` to be "auto" or a list'),
        ({"gpus": [0, "0"]}, "`gpus` to be distinct"),
        ({"timeout": 0}, "`timeout` to be a positive"),
        ({"timeout": "60"}, "`timeout` to be a positive"),
        ({"timeout": float("inf")}, "`timeout` to be a positive"),
    ],
)
def test_bad_arguments(change, message):
    arguments = {
        "make_tuner": make_plain,
        "search": search_plain,
        "num_workers": 1,
        "gpus": [],
        **change,
    }
    with pytest.raises(ValueError, match=message):
        tuners.parallel_search(**arguments)


@pytest.mark.usefixtures("no_processes")
def test_functions_that_were_typed_in(monkeypatch):
    main = sys.modules["__main__"]
    monkeypatch.delattr(main, "__file__", raising=False)
    monkeypatch.setattr(main, "__spec__", None)
    monkeypatch.setattr(main, "make_plain", make_plain, raising=False)
    monkeypatch.setattr(make_plain, "__module__", "__main__")
    with pytest.raises(ValueError, match="of a script in a file"):
        tuners.parallel_search(make_plain, search_plain, 1, gpus=[])


def test_call_in_a_process_of_a_search(monkeypatch):
    process = multiprocessing.current_process()
    monkeypatch.setattr(process, "_name", "parallel_search worker1")
    with pytest.raises(RuntimeError, match="__main__.*a call in worker1"):
        tuners.parallel_search(make_plain, search_plain, 1)


def test_gpus_that_this_process_may_see(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert parallel._check_gpus("auto") == ["0", "1"]
    assert parallel._check_num_workers(None, ["0", "1"]) == 2
    for value, names in [("", []), ("-1", []), ("3, GPU-a", ["3", "GPU-a"])]:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
        assert parallel._check_gpus("auto") == names
    tool.write_text("#!/bin/sh\nexit 9\n")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert parallel._check_gpus("auto") == []


def test_functions_that_do_something_else(tmp_path, as_worker):
    with pytest.raises(ValueError, match="return a tuner of KerasTuner"):
        tuners.parallel_search(lambda: "tuner", search_plain)
    make = functools.partial(make_plain, str(tmp_path), ("complete",))
    with pytest.raises(ValueError, match="`search` to call the `search`"):
        tuners.parallel_search(make, searching_processes.return_at_once)


def test_worker_that_overwrites(tmp_path, as_worker):
    make = functools.partial(
        make_plain, str(tmp_path), ("complete",), overwrite=True
    )
    with pytest.raises(ValueError, match="with `overwrite=False`.*search$"):
        run_worker(make, search_plain, 1.0, shares_folder=True)


def test_worker_without_anything_to_do_rests(monkeypatch):
    module = importlib.import_module("keras_seqcredit.tuners.chief_client")
    seconds = []
    monkeypatch.setattr(module, "wait_for_chief", lambda timeout: None)
    monkeypatch.setattr(module.time, "sleep", seconds.append)
    for status, has_ended in [("IDLE", False), ("STOPPED", True)]:
        trial = keras_tuner.engine.trial.Trial(
            keras_tuner.HyperParameters(), status=status
        )
        tuner = mock.Mock()
        tuner.oracle.create_trial.return_value = trial
        client = module.ChiefClient(tuner, timeout=1.0)
        assert client.create_trial("worker0") is trial
        assert client.is_told_to_stop == has_ended
    assert seconds == [module.REST]
