"""A theoretical model of training on many hosts: the cost of an exchange.

A step on one device takes `--step-seconds`. Devices that share batches add up
their gradients after each step, or average their weights after every
`--exchange-every` steps, around a ring or along a tree, whichever is faster:

```
ring:  2 (n - 1) (latency + bytes / (n bandwidth))
tree:  2 ceil(log2 n) (latency + bytes / bandwidth)
```

    python -m examples.benchmarks.scaling --step-seconds 0.05 --parameters 81e3

Prints, for links from within one host to the internet, the share of time spent
on computing, with constant work per device, and the number of devices at which
this share falls to one half.
"""

import argparse
import math

# Seconds, and bytes per second in each direction.
LINKS = {
    "one host, NVLink": (5e-6, 300e9),
    "a rack, 100 Gbit/s": (20e-6, 12.5e9),
    "a cluster, 10 Gbit/s": (100e-6, 1.25e9),
    "an office, 1 Gbit/s": (500e-6, 125e6),
    "the internet, 100 Mbit/s": (50e-3, 12.5e6),
}
COUNTS = (2, 8, 64, 512, 4096)


def exchange_seconds(
    devices: int, size: float, latency: float, bandwidth: float
) -> float:
    """Seconds until all devices have the sum of what each has.

    Args:
        devices: Positive integer.
        size: Float, bytes per device.
        latency: Float, seconds.
        bandwidth: Float, bytes per second of each device in each direction.
    """
    ring = 2 * (devices - 1) * (latency + size / devices / bandwidth)
    tree = 2 * math.ceil(math.log2(devices)) * (latency + size / bandwidth)
    return min(ring, tree)


def efficiency(
    devices: int,
    step_seconds: float,
    size: float,
    link: tuple[float, float],
    exchange_every: int = 1,
) -> float:
    """The share of time that devices spend computing."""
    work = exchange_every * step_seconds
    return work / (work + exchange_seconds(devices, size, *link))


def most_devices(*args, limit: int = 2**20, **kwargs) -> int:
    """The most devices, a power of 2, that still compute half of the time."""
    devices = 1
    while devices < limit and efficiency(2 * devices, *args, **kwargs) >= 0.5:
        devices *= 2
    return devices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--step-seconds", type=float, required=True, help="on one device")
    add("--parameters", type=float, required=True)
    add("--bytes", type=int, default=4, help="per parameter")
    add("--exchange-every", type=int, default=1, help="steps")
    settings = parser.parse_args()
    size = settings.parameters * settings.bytes
    counts = " | ".join(f"{n:,}" for n in COUNTS)
    print(f"| link | {counts} | a half at |")
    print(f"| --- {'| ---: ' * (len(COUNTS) + 1)}|")
    for name, link in LINKS.items():
        given = settings.step_seconds, size, link, settings.exchange_every
        shares = [f"{efficiency(n, *given):.0%}" for n in COUNTS]
        most = most_devices(*given)
        half = f"{most:,}" if most < 2**20 else "over a million"
        print(f"| {name} | {' | '.join(shares)} | {half} |")


if __name__ == "__main__":
    main()
