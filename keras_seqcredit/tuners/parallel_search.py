"""Runs the trials of a search in parallel, each in its own process."""

import contextlib
import math
import multiprocessing
import os
import pathlib
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.connection import wait
from typing import Any
from typing import NamedTuple

import keras

from keras_seqcredit.checks import check_integer
from keras_seqcredit.tuners.search_process import GRACE
from keras_seqcredit.tuners.search_process import environment
from keras_seqcredit.tuners.search_process import run_chief
from keras_seqcredit.tuners.search_process import run_process
from keras_seqcredit.tuners.search_process import run_worker

_ADDRESS = "127.0.0.1"
_CHIEF = "chief"
# Name prefix by which a process of a search recognizes itself.
_PREFIX = "parallel_search "
# Variables for backends where processes cannot be bound to cores.
_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "NPROC")
_NO_GPU = {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}


def parallel_search(
    make_tuner: Callable[[], Any],
    search: Callable[[Any], Any],
    num_workers: int | None = None,
    gpus: str | Sequence[int | str] = "auto",
    timeout: float = 60.0,
    verbose: Any = 1,
) -> Any:
    """Runs several trials of a search at the same time.

    Starts KerasTuner's chief, which chooses the trials, and workers, which run
    them, as processes on this machine: one worker per GPU, or workers that
    share the cores of the CPU. They end when the search ends, fails or is
    interrupted, and within seconds of the end of this process.

    Each process creates its own tuner. Therefore, both functions must be
    importable: from a module, or from a script whose own work is under
    `if __name__ == "__main__":`. Use `functools.partial` to pass them
    arguments. The chief does not call `search`; load data there.

    The same call resumes a search that was killed, including its running
    trials. If a worker is killed, its trial fails and is repeated if the
    tuner's `max_retries_per_trial` allows it; another worker replaces it.

    If KerasTuner's environment variables for searches on several hosts are set,
    no process is started: this process takes the role that they define.

    Args:
        make_tuner: Function without arguments that returns a KerasTuner tuner,
            without `overwrite=True`.
        search: Function of a tuner that calls its `search` on data.
        num_workers: Positive integer. Defaults to the number of GPUs.
        gpus: `"auto"`, or list of GPUs as in `CUDA_VISIBLE_DEVICES`, one per
            worker; `[]` for the CPU. Defaults to `"auto"`, all GPUs visible to
            this process.
        timeout: Float, seconds after which a worker gives up if the chief does
            not answer. Defaults to `60.0`.
        verbose: Verbosity of the chief about the trials, as in
            `keras_tuner.Tuner.search`. Defaults to `1`.

    Returns:
        A tuner with the trials of the search, or None in a worker of a search
        on several hosts.

    Raises:
        RuntimeError: if the search fails in one of the processes, with the end
            of its traceback; all others are terminated.
        ValueError: if an argument is invalid.

    Example:

    ```python
    import keras_tuner

    from keras_seqcredit import datasets
    from keras_seqcredit import tuners


    def make_tuner():
        space = tuners.SABHyperModel((64, 1), num_outputs=10, epochs=20)
        return keras_tuner.RandomSearch(
            space, objective=space.objective, max_trials=8, directory="search"
        )


    def search(tuner):
        (x, y), _ = datasets.sequential_digits(permute=True)
        tuner.search(x, y, validation_split=0.2, verbose=2)
    ```

    Then, in the same file:

    ```py
    if __name__ == "__main__":
        tuner = tuners.parallel_search(make_tuner, search, num_workers=2)
        model = tuner.get_best_models()[0]
    ```
    """
    _check_caller()
    _check_timeout(timeout)
    if "KERASTUNER_ORACLE_IP" in os.environ:
        if "chief" in os.environ.get("KERASTUNER_TUNER_ID", ""):
            return run_chief(make_tuner, verbose)
        run_worker(make_tuner, search, timeout)
        return None
    _check_functions(make_tuner, search)
    gpus = _check_gpus(gpus)
    num_workers = _check_num_workers(num_workers, gpus)
    with _reserved_port() as port:
        processes = _Processes(
            port, num_workers, gpus, timeout, (make_tuner, search, verbose)
        )
        try:
            processes.start()
            processes.wait()
        finally:
            processes.end()
    return make_tuner()


class _Child(NamedTuple):
    """A process and the connection to it."""

    process: Any
    connection: Connection


class _Processes:
    """The chief and the workers of a search.

    Args:
        port: Integer, port of the chief.
        num_workers: Positive integer.
        gpus: List of strings, one per worker, or empty for the CPU.
        timeout: Float, seconds.
        arguments: Tuple, `make_tuner`, `search` and `verbose`.
    """

    def __init__(
        self,
        port: int,
        num_workers: int,
        gpus: list[str],
        timeout: float,
        arguments: tuple,
    ) -> None:
        self._port = port
        self._gpus = gpus
        self._timeout = timeout
        self._arguments = arguments
        self._names = [f"worker{number}" for number in range(num_workers)]
        self._context = multiprocessing.get_context("spawn")
        self._chief: Any = None
        self._workers: dict[str, _Child] = {}

    def start(self) -> None:
        """Starts the chief, and then the workers as soon as it is ready."""
        self._chief = self._start(_CHIEF, _NO_GPU)
        self._ask_chief()
        for name in self._names:
            self._start_worker(name)

    def wait(self) -> None:
        """Waits until the search has ended."""
        has_ended = False
        while self._workers:
            for name in self._gone_workers():
                worker = self._workers.pop(name)
                _kill(worker.process)
                said = _received(worker.connection)
                if said is not None:
                    raise RuntimeError(
                        f"The search has failed in {name}.\n{said[1]}"
                    )
                codes = worker.process.exitcode, self._chief.process.exitcode
                if 0 in codes:
                    has_ended = True
                else:
                    self._replace(name, worker.process.exitcode)
        if not has_ended:
            raise RuntimeError(
                "Expected a worker to run trials until the search ends. "
                "Received: none is left; their output may say why"
            )

    def end(self) -> None:
        """Ends all remaining processes."""
        for worker in self._workers.values():
            _kill(worker.process)
        if self._chief is not None:
            # This ends it, but not while it writes.
            self._chief.connection.close()
            self._chief.process.join(2 * GRACE)
            _kill(self._chief.process)

    def _start_worker(self, name: str) -> None:
        number = self._names.index(name)
        if self._gpus:
            variables = {"CUDA_VISIBLE_DEVICES": self._gpus[number]}
            self._workers[name] = self._start(name, variables)
            return
        with _share_of_cores(number, len(self._names)) as threads:
            self._workers[name] = self._start(name, {**threads, **_NO_GPU})

    def _start(self, name: str, variables: dict[str, str]) -> _Child:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=run_process,
            args=(name, self._names, self._timeout, theirs, *self._arguments),
            name=f"{_PREFIX}{name}",
        )
        # A new process imports Keras before it runs any of our code.
        variables = {
            "KERAS_BACKEND": keras.backend.backend(),
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": _ADDRESS,
            "KERASTUNER_ORACLE_PORT": str(self._port),
            "no_grpc_proxy": _ADDRESS,
            **variables,
        }
        with environment(variables):
            process.start()
        theirs.close()
        return _Child(process, ours)

    def _gone_workers(self) -> list[str]:
        """Waits for a worker to end and returns the names of all that have."""
        names = {
            worker.process.sentinel: name
            for name, worker in self._workers.items()
        }
        chief = self._chief.process
        if chief.exitcode == 0:  # It has finished its work.
            return [names[found] for found in wait(list(names))]
        found = wait([*names, chief.sentinel])
        if chief.exitcode:
            self._ask_chief()
        return [names[one] for one in found if one in names]

    def _replace(self, name: str, exitcode: int) -> None:
        """Replaces a killed worker and reports what happens to its trial."""
        how = f"exit code {exitcode}"
        if exitcode < 0:
            how = signal.Signals(-exitcode).name
        trial = self._ask_chief(name, how)
        if trial is None:
            warnings.warn(
                f"{name} was ended by {how}, outside of a trial. The search "
                "goes on without it.",
                stacklevel=4,
            )
            return
        warnings.warn(
            f"{name} was ended by {how} in trial {trial}. The trial has "
            "failed, or is run again if `max_retries_per_trial` allows it. "
            "Another worker takes its place.",
            stacklevel=4,
        )
        self._start_worker(name)

    def _ask_chief(self, *question: str) -> Any:
        """Returns the chief's answer, or raises its error."""
        process, chief = self._chief
        with contextlib.suppress(OSError):
            if question:
                chief.send(question)
        # It may take time to start.
        wait([chief, process.sentinel], self._timeout if question else None)
        said = _received(chief)
        if said is None:
            process.join(1)
            how = f"none within {self._timeout:g} seconds"
            if process.exitcode is not None:
                how = f"its end, exit code {process.exitcode}"
            raise RuntimeError(
                f"Expected an answer of the chief. Received: {how}; its "
                "output may say why. If it was killed, the same call resumes "
                "the search"
            )
        kind, answer = said
        if kind == "error":
            raise RuntimeError(f"The search has failed in its chief.\n{answer}")
        return answer


@contextlib.contextmanager
def _reserved_port() -> Iterator[int]:
    """A free port of this machine, reserved for this search."""
    with socket.socket() as found:
        if hasattr(socket, "SO_REUSEPORT"):
            # As gRPC does, so that both can bind it.
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        found.bind((_ADDRESS, 0))
        port = found.getsockname()[1]
        if not hasattr(socket, "SO_REUSEPORT"):
            found.close()
        yield port


@contextlib.contextmanager
def _share_of_cores(number: int, workers: int) -> Iterator[dict[str, str]]:
    """Processes started in the block get a share of the cores.

    Where processes cannot be bound to cores, yields variables that limit
    threads.
    """
    if not hasattr(os, "sched_setaffinity"):
        threads = max((os.cpu_count() or 1) // workers, 1)
        yield dict.fromkeys(_THREADS, str(threads))
        return
    cores = sorted(os.sched_getaffinity(0))
    # If there are more workers than cores, they share cores.
    share = cores[number::workers] or [cores[number % len(cores)]]
    os.sched_setaffinity(0, share)
    try:
        yield {}
    finally:
        os.sched_setaffinity(0, cores)


def _kill(process: Any) -> None:
    """Kills a process and its children."""
    # The group is identified only by the id of the process, which stays
    # reserved until its exit code is collected.
    with contextlib.suppress(AttributeError, ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _received(found: Connection) -> tuple[str, Any] | None:
    """The message of a process, or None if there is none."""
    try:
        return found.recv() if found.poll() else None
    except (EOFError, OSError):
        return None


def _check_caller() -> None:
    name = multiprocessing.current_process().name
    if name.startswith(_PREFIX):
        raise RuntimeError(
            "Each process of a search imports the script that has started it. "
            "Expected `parallel_search` to be called under "
            '`if __name__ == "__main__":`. Received: a call in '
            f"{name.removeprefix(_PREFIX)}"
        )


def _check_timeout(timeout: Any) -> None:
    is_number = isinstance(timeout, (int, float)) and math.isfinite(timeout)
    if not is_number or timeout <= 0:
        raise ValueError(
            "Expected `timeout` to be a positive number of seconds. Received: "
            f"timeout={timeout!r}"
        )


def _check_functions(make_tuner: Any, search: Any) -> None:
    for name, value in [("make_tuner", make_tuner), ("search", search)]:
        try:
            is_found = callable(value) and _is_importable(pickle.dumps(value))
        except Exception:  # Each kind of object raises its own.
            is_found = False
        if not is_found:
            raise ValueError(
                f"Expected `{name}` to be a function that a new process can "
                "import: one of a module or of a script in a file, neither a "
                "lambda nor inside another function. Received: "
                f"{name}={value!r}"
            )


def _is_importable(pickled: bytes) -> bool:
    """Whether a new process can load it: not interactively defined code."""
    main = sys.modules["__main__"]
    if b"__main__" not in pickled or getattr(main, "__spec__", None):
        return True
    return pathlib.Path(getattr(main, "__file__", None) or "").is_file()


def _check_gpus(gpus: Any) -> list[str]:
    if isinstance(gpus, str) and gpus == "auto":
        return _visible_gpus()
    is_list = isinstance(gpus, (list, tuple))
    if not is_list or not all(isinstance(gpu, (int, str)) for gpu in gpus):
        raise ValueError(
            'Expected `gpus` to be "auto" or a list of integers or strings. '
            f"Received: gpus={gpus!r}"
        )
    names = [str(gpu) for gpu in gpus]
    if len(set(names)) < len(names):
        raise ValueError(
            f"Expected `gpus` to be distinct. Received: gpus={gpus!r}"
        )
    return names


def _visible_gpus() -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",")]
        return [name for name in names if name not in ("", "-1")]
    # Not through the backend, which would claim them.
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    found = subprocess.run(query, capture_output=True, text=True)
    return found.stdout.split() if found.returncode == 0 else []


def _check_num_workers(num_workers: Any, gpus: list[str]) -> int:
    if num_workers is None and gpus:
        return len(gpus)
    number = check_integer("num_workers", num_workers)
    if gpus and number > len(gpus):
        raise ValueError(
            "Expected no more workers than GPUs, or `gpus=[]` for the CPU. "
            f"Received: num_workers={number}, gpus={gpus}"
        )
    return number
