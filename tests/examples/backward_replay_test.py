"""Steps that a gradient passes through are those that it is found at."""

from examples.benchmarks import backward_replay


def test_paths(monkeypatch):
    monkeypatch.setattr(backward_replay, "UNITS", 8)
    length = 40
    full = backward_replay.paths("full", length)
    assert full["steps_to_event"] == 36
    assert full["steps_reached"] == length
    truncated = backward_replay.paths("truncated", length)
    assert truncated["steps_to_event"] is None
    assert truncated["gradient_at_event"] == 0
    assert truncated["steps_reached"] == 5
    sab = backward_replay.paths("sab", length)
    assert 1 <= sab["steps_to_event"] <= 2
    assert sab["gradient_at_event"] > 0
    # The last segment, five slots that were read, and the threshold's.
    assert 5 < sab["steps_reached"] <= 5 + 6 * 5
