"""The prepared run stops in time, keeps what it found, and goes on."""

import json

import pytest

from examples import on_gpu
from examples.benchmarks import tensorflow_program
from examples.on_gpu import Entry
from tests.on_one_backend import only_on

# Counts its starts in a checkpoint; the first one takes too long.
TRAINS = """
import json, pathlib, sys, time
folder = pathlib.Path(sys.argv[sys.argv.index("--logdir") + 1])
folder.mkdir(exist_ok=True)
path = folder / "starts"
starts = int(path.read_text()) + 1 if path.exists() else 1
path.write_text(str(starts))
if starts == 1:
    time.sleep(60)
(folder / "result.json").write_text(json.dumps({"starts": starts}))
"""
PRINTS = "print('warming up'); print('{\"median\": 2.5}')"


def entry(name, code, goes_on=False, seconds=1):
    command = ("-c", code)
    return Entry(name, seconds, command, command, goes_on=goes_on)


@pytest.fixture
def run(monkeypatch, tmp_path):
    """`run(entries, *flags)`, the results."""

    def run(entries, *flags):
        monkeypatch.setattr(on_gpu, "entries", lambda: entries)
        on_gpu.main(["--out", str(tmp_path), *flags])
        path = tmp_path / "results.json"
        return json.loads(path.read_text()) if path.exists() else {}

    return run


def test_an_experiment_that_was_stopped_goes_on(run, tmp_path, monkeypatch):
    monkeypatch.setattr(on_gpu, "LEAST_SECONDS", 0)
    entries = [entry("long, seed 0", TRAINS, goes_on=True)]
    found = run(entries, "--seconds", "3")["long, seed 0"]
    assert found["status"] == "stopped"
    assert 2 < found["seconds"] < 60
    checkpoint = tmp_path / "long_seed_0.tar.gz"
    assert checkpoint.exists()
    assert not (tmp_path / "running").exists()
    found = run(entries, "--seconds", "60")["long, seed 0"]
    assert found["status"] == "done"
    assert found["result"] == {"starts": 2}
    assert not checkpoint.exists()


def test_what_does_not_fit_waits(run):
    entries = [entry("large", PRINTS, seconds=100), entry("small", PRINTS)]
    found = run(entries, "--seconds", "50")
    assert list(found) == ["small"]
    assert found["small"]["result"] == {"median": 2.5}
    found = run(entries, "--seconds", "500")
    assert list(found) == ["small", "large"]


def test_what_is_done_is_not_done_again(run):
    entries = [entry("one", PRINTS)]
    first = run(entries)
    assert run([entry("one", "raise SystemExit(3)")]) == first


def test_a_failure_is_kept_and_the_list_goes_on(run):
    fails = entry("fails", "raise ValueError('no memory')")
    found = run([fails, entry("silent", "pass"), entry("one", PRINTS)])
    assert found["fails"]["status"] == found["silent"]["status"] == "failed"
    assert "no memory" in found["fails"]["error"]
    assert found["one"]["status"] == "done"
    mended = [entry("fails", PRINTS)]
    assert run(mended)["fails"]["status"] == "failed"
    assert run(mended, "--retry")["fails"]["status"] == "done"


def test_data_that_is_not_there(run):
    needs = entry("needs", PRINTS)._replace(data=True)
    assert run([needs]) == {}
    assert run([needs], "--data-dir", ".")["needs"]["status"] == "done"


def test_flags_and_data_are_given(run, tmp_path):
    says = (
        "import json, os, sys;"
        "print(json.dumps([os.environ['XLA_FLAGS'], sys.argv[1]]))"
    )
    flag = "--xla_a=1"
    given = Entry("says", 1, ("-c", says, "{data}"), (), flag, data=True)
    found = run([given], "--data-dir", str(tmp_path))["says"]["result"]
    assert found[0].endswith(f" {flag}")
    assert found[1] == str(tmp_path)


def test_entries_that_are_not_there(capsys):
    with pytest.raises(SystemExit):
        on_gpu.main(["--entries", "laws", "lores"])
    assert "Received: ['lores']" in capsys.readouterr().err


def test_a_list_of_them(capsys, run):
    run(on_gpu.entries(), "--list")
    said = capsys.readouterr().out
    assert "steps, short: 90 s, waits" in said
    names = [entry.name for entry in on_gpu.entries()]
    assert len(set(names)) == len(names) == len(said.splitlines())


@only_on("jax")
def test_the_whole_list_stops_in_the_middle_and_goes_on(tmp_path):
    def run(seconds):
        on_gpu.main(["--tiny", "--out", str(tmp_path), "--seconds", seconds])
        return json.loads((tmp_path / "results.json").read_text())

    names = [entry.name for entry in on_gpu.entries() if entry.tiny]
    first, seconds = {}, 10
    while "done" not in [found["status"] for found in first.values()]:
        seconds *= 2  # A slow machine is done with nothing at first.
        first = run(str(seconds))
    states = [found["status"] for found in first.values()]
    assert states.count("done") < len(names)
    results = run("1500")
    assert set(results) == set(names)
    for name, found in first.items():
        if found["status"] == "done":
            assert results[name] == found
    # It is traced where TensorFlow is.
    lacks = results.pop("tensorflow")
    assert "tensorflow_step" in lacks["error"]
    failed = {
        name: found
        for name, found in results.items()
        if found["status"] != "done"
    }
    assert not failed
    assert results["steps, short"]["result"]["cudnn"]["median"] > 0
    assert results["laws"]["result"]["passed"] > 0
    assert len(list(tmp_path.iterdir())) <= 8


@only_on("tensorflow")
def test_a_program_of_tensorflow_runs_on_jax(tmp_path):
    tensorflow_program.write(tmp_path, length=9, units=4)
    found = tensorflow_program.run(tmp_path, 1)
    assert found["median"] > 0
    assert len(found["errors"]) == 8
    assert max(found["errors"]) < 1e-5
