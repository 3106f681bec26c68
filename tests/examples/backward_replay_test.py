"""Steps that a gradient passes through are those that it is found at."""

import json

import pytest

from examples.benchmarks import backward_replay
from tests.on_one_backend import only_on


def test_steps_back_of_cases_counted_by_hand():
    assert backward_replay.steps_back(4, None) == {3: 0, 2: 1, 1: 2, 0: 3}
    # Cut before steps 3 and 6, the states after steps 1 and 5 are read.
    found = backward_replay.steps_back(8, 3, read=[1, 5])
    assert found == {7: 0, 6: 1, 5: 1, 4: 2, 3: 3, 1: 1, 0: 2}
    # The shorter of two ways.
    assert backward_replay.steps_back(6, None, read=[1])[0] == 2


@only_on("jax")
def test_paths(monkeypatch):
    monkeypatch.setattr(backward_replay, "UNITS", 8)
    length = 40
    full = backward_replay.paths("full", length)
    assert full["steps_to_event"] == 36
    assert full["gradient_at_event"] > 0
    assert full["steps_reached"] == length
    truncated = backward_replay.paths("truncated", length)
    assert truncated["steps_to_event"] is None
    assert truncated["gradient_at_event"] == 0
    assert truncated["steps_reached"] == 5
    sab = backward_replay.paths("sab", length)
    assert 1 <= sab["steps_to_event"] <= 2
    assert sab["gradient_at_event"] > 0
    # The last segment, five states that were read, and the best that was not.
    assert 5 < sab["steps_reached"] <= 5 + 6 * 5


@only_on("jax")
def test_a_gradient_where_none_was_counted_stops_it(monkeypatch):
    monkeypatch.setattr(backward_replay, "UNITS", 4)
    monkeypatch.setattr(backward_replay, "steps_back", lambda *_: {11: 0})
    with pytest.raises(RuntimeError, match=r"at the steps \[11\].*\[10, 11\]"):
        backward_replay.paths("truncated", 12)


@only_on("jax")
def test_table_and_figures(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(backward_replay, "UNITS", 4)
    monkeypatch.setattr(backward_replay, "BATCH", 4)
    # In a process of its own, which takes seconds to start.
    memory = {"peak_mb": 2.0, "idle_mb": 1.0}
    monkeypatch.setattr(backward_replay, "peak_memory", lambda *_: memory)
    flags = ["--lengths=12", "--repeats=1", f"--output={tmp_path}"]
    monkeypatch.setattr("sys.argv", ["backward_replay", *flags])
    backward_replay.main()
    printed = capsys.readouterr().out
    assert "| 12 | truncated | none | 2 |" in printed
    assert "| 12 | full | 8 | 12 |" in printed
    result = json.loads((tmp_path / "backward_replay_jax.json").read_text())
    assert [row["net"] for row in result["rows"]] == [
        "sab",
        "truncated",
        "full",
    ]
    for row in result["rows"]:
        assert row["length"] == 12
        assert row["step_seconds"]["median"] > 0
        assert row["memory"] == memory
