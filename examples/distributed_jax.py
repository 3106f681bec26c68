r"""Trains on many devices of many hosts, with `keras.distribution` on JAX.

Start it once on each host, with the address of the first host:

    python examples/distributed_jax.py --coordinator 10.0.0.1:8476 \
        --processes 2 --process 0
    python examples/distributed_jax.py --coordinator 10.0.0.1:8476 \
        --processes 2 --process 1

Or try it on one host, with processes that communicate locally:

    python examples/distributed_jax.py --local 2

Each device holds a copy of the network and a shard of each batch; gradients are
summed after each step. Run the same commands again to resume a killed run, if
all hosts see `--logdir`; the first process writes there.
"""

import argparse
import contextlib
import select
import socket
import subprocess
import sys
import time
from typing import Any

from common import add_backend_argument
from common import select_backend

if select_backend(["--backend=jax", *sys.argv[1:]]) != "jax":
    raise SystemExit(
        "keras.distribution trains on JAX. Expected --backend jax, or "
        "distributed_tensorflow.py instead. Received: another backend"
    )

import data_parallel  # noqa: E402
import jax  # noqa: E402
import keras  # noqa: E402


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_backend_argument(parser)
    parser.add_argument("--coordinator", help="host:port of process 0")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument(
        "--process", type=int, default=0, help="index of this one"
    )
    parser.add_argument(
        "--timeout", type=int, default=60, help="seconds to wait for the others"
    )
    parser.add_argument(
        "--host-devices",
        type=int,
        help="number of devices to split the CPU into (default: one)",
    )
    parser.add_argument(
        "--local", type=int, metavar="N", help="start N processes on this host"
    )
    data_parallel.add_arguments(parser, "runs/distributed_jax")
    arguments = parser.parse_args()
    if not 0 <= arguments.process < arguments.processes:
        parser.error(
            "expected --process from 0 to one less than --processes. Received: "
            f"{arguments.process} of {arguments.processes}"
        )
    port = (arguments.coordinator or ":0").rpartition(":")[2]
    if not port.isdecimal() or int(port) > 65535:
        parser.error(
            "expected --coordinator as host:port. Received: "
            f"{arguments.coordinator}"
        )
    if arguments.processes > 1 and not arguments.coordinator:
        parser.error(
            "expected --coordinator, the address of process 0, with several "
            "--processes. Received: none"
        )
    return arguments


def start_locally(number: int) -> None:
    """Starts processes on this host; stops all if one fails."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, *sys.argv, f"--coordinator={address}"]
    processes = [
        # The last value of a flag counts.
        subprocess.Popen(
            [*command, f"--processes={number}", f"--process={i}", "--local=0"]
        )
        for i in range(number)
    ]
    try:
        codes = [None] * number
        while None in codes and not any(codes):
            codes = [process.poll() for process in processes]
            time.sleep(0.1)
    finally:
        for process in processes:
            process.terminate()
    if any(codes):
        raise SystemExit(f"A process failed. Received: exit codes {codes}")


def join(arguments: argparse.Namespace) -> None:
    """Connects to the other processes."""
    if arguments.host_devices:
        jax.config.update("jax_num_cpu_devices", arguments.host_devices)
    if arguments.processes == 1:
        return
    # JAX itself would end a process that waits too long, with no Python error.
    if arguments.process == 0:
        wait_for_others(arguments)
    else:
        wait_for_first(arguments)
    try:
        jax.distributed.initialize(
            arguments.coordinator,
            arguments.processes,
            arguments.process,
            initialization_timeout=arguments.timeout,
        )
    except (RuntimeError, ValueError) as error:
        raise SystemExit(
            f"Expected {arguments.processes} processes to meet at "
            f"{arguments.coordinator} within {arguments.timeout} s. "
            f"Received: {error}"
        ) from error


def wait_for_others(arguments: argparse.Namespace) -> None:
    """Lets all processes begin once all have sent their numbers."""
    _, port = host_and_port(arguments.coordinator)
    end = time.monotonic() + arguments.timeout
    missing = set(range(1, arguments.processes))
    found: dict[int, socket.socket] = {}
    seen = set()
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(listening(port))
        except OSError as error:
            raise SystemExit(
                f"Expected process 0 to listen at port {port}. "
                f"Received: {error}"
            ) from error
        while missing - set(found):
            seconds = end - time.monotonic()
            if seconds <= 0:
                # The others may have just given up because these are missing.
                late = sorted(missing - seen or missing - set(found))
                raise SystemExit(
                    f"Expected {arguments.processes} processes to meet at "
                    f"{arguments.coordinator} within {arguments.timeout} s. "
                    f"Received: all but {', '.join(map(str, late))}"
                )
            ready, _, _ = select.select(
                [server, *found.values()], [], [], seconds
            )
            # A process that has sent its number sends no more, but may leave.
            for number, connection in list(found.items()):
                if connection in ready:
                    del found[number]
            if server not in ready:
                continue
            with contextlib.suppress(OSError, ValueError):
                connection = stack.enter_context(server.accept()[0])
                connection.settimeout(1)
                number = int(connection.recv(16))
                if number in missing:
                    found[number] = connection
                    seen.add(number)
        for connection in found.values():
            with contextlib.suppress(OSError):
                connection.sendall(b"begin")


def listening(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", port), family=socket.AF_INET6, dualstack_ipv6=True
        )
    return socket.create_server(("", port))


def wait_for_first(arguments: argparse.Namespace) -> None:
    """Sends this process's number to process 0, then waits to begin."""
    address = host_and_port(arguments.coordinator)
    end = time.monotonic() + arguments.timeout
    received: Any = None
    while (seconds := end - time.monotonic()) > 0:
        try:
            with socket.create_connection(address, seconds) as connection:
                connection.sendall(str(arguments.process).encode())
                connection.settimeout(max(end - time.monotonic(), 0.01))
                if connection.recv(16):
                    return
                received = "a closed connection"
        except OSError as error:
            received = error
        time.sleep(0.2)
    raise SystemExit(
        f"Expected process 0 to answer at {arguments.coordinator} within "
        f"{arguments.timeout} s. Received: {received}"
    )


def host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def main() -> None:
    arguments = parse_arguments()
    if arguments.local:
        start_locally(arguments.local)
        return
    join(arguments)
    # Each process makes its own shard of the batches.
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(auto_shard_dataset=False)
    )
    data_parallel.train(
        lambda: data_parallel.make_model((64, 1), arguments),
        arguments,
        jax.device_count(),
        jax.process_index(),
        jax.process_count(),
    )


if __name__ == "__main__":
    main()
