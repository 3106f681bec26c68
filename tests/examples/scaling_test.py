"""The model on paper of an exchange among many hosts."""

import importlib

import pytest

scaling = importlib.import_module("examples.benchmarks.scaling")


def test_exchanges_of_the_two_cases_solved_by_hand():
    # Of two: each sends half of the bytes twice, around a ring.
    assert scaling.exchange_seconds(2, 100, 1.0, 10.0) == 2 * (1 + 5)
    # Of very many, with next to nothing to send: 2 * 10 latencies up a tree.
    found = scaling.exchange_seconds(1024, 1e-9, 1.0, 1.0)
    assert found == pytest.approx(20)


@pytest.mark.parametrize("link", scaling.LINKS.values())
def test_time_is_lost_to_more_devices_and_won_by_fewer_exchanges(link):
    shares = [scaling.efficiency(n, 0.1, 1e6, link) for n in (2, 8, 64, 512)]
    assert shares == sorted(shares, reverse=True)
    seldom = scaling.efficiency(512, 0.1, 1e6, link, exchange_every=100)
    assert shares[-1] < seldom < 1


def test_the_most_devices_compute_half_of_the_time():
    link = scaling.LINKS["a cluster, 10 Gbit/s"]
    most = scaling.most_devices(0.01, 1e7, link)
    assert scaling.efficiency(most, 0.01, 1e7, link) >= 0.5
    assert scaling.efficiency(2 * most, 0.01, 1e7, link) < 0.5
