"""A search whose trials run at the same time, each in a process of its own."""

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
# What a process of a search is called, so that it knows itself for one.
_PREFIX = "parallel_search "
# What backends read where processes cannot be bound to cores.
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

    Starts KerasTuner's chief, which chooses what to try, and workers, which try
    it, as processes of this machine: a worker for each GPU, or workers that
    share the cores of the CPU. They end when the search ends, fails or is
    interrupted, and within seconds of the end of this process.

    Each process makes its own tuner. So both functions have to be found by
    name: in a module, or in a script whose own work is under
    `if __name__ == "__main__":`. Use `functools.partial` to give them
    arguments. The chief does not call `search`; load data there.

    A search that was killed goes on by the same call, inside the trials that
    were running. A worker that is killed has failed its trial, which is run
    again if the tuner's `max_retries_per_trial` allows it; another worker takes
    its place.

    With KerasTuner's variables in the environment, for searches on several
    hosts, no process is started: this one does what they say.

    Args:
        make_tuner: Function without arguments that returns a tuner of
            KerasTuner, without `overwrite=True`.
        search: Function of a tuner that calls its `search` on data.
        num_workers: Positive integer. Defaults to the number of GPUs.
        gpus: `"auto"`, or list of GPUs as `CUDA_VISIBLE_DEVICES` names them,
            one for each worker; `[]` for the CPU. Defaults to `"auto"`, all
            that this process may see.
        timeout: Float, the seconds after which a worker gives up whose chief
            does not answer. Defaults to `60.0`.
        verbose: What the chief prints of the trials, as
            `keras_tuner.Tuner.search` takes it. Defaults to `1`.

    Returns:
        A tuner with the trials of the search; None in a worker of several
        hosts.

    Raises:
        RuntimeError: if the search has failed in one of the processes, with
            the end of its traceback; all others are ended.
        ValueError: if an argument is wrong.

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

    And below, in the same file:

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
    """A process, and the connection to it."""

    process: Any
    connection: Connection


class _Processes:
    """The chief and the workers of a search.

    Args:
        port: Integer, of the chief.
        num_workers: Positive integer.
        gpus: List of strings, one for each worker, or none for the CPU.
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
        """Starts the chief, and the workers as soon as it is ready."""
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
                "Received: none is left; what they have printed may say why"
            )

    def end(self) -> None:
        """Ends all processes that are left."""
        for worker in self._workers.values():
            _kill(worker.process)
        if self._chief is not None:
            # It ends of that, but not while it writes.
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
        # A new process imports Keras before it runs anything of ours.
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
        """The names of workers that have ended, after the next has."""
        names = {
            worker.process.sentinel: name
            for name, worker in self._workers.items()
        }
        chief = self._chief.process
        if chief.exitcode == 0:  # It has nothing more to say to anybody.
            return [names[found] for found in wait(list(names))]
        found = wait([*names, chief.sentinel])
        if chief.exitcode:
            self._ask_chief()
        return [names[one] for one in found if one in names]

    def _replace(self, name: str, exitcode: int) -> None:
        """Says what becomes of the trial of a worker that was killed."""
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
        """Returns the chief's answer, or raises what it has failed of."""
        process, chief = self._chief
        with contextlib.suppress(OSError):
            if question:
                chief.send(question)
        # It may take its time to begin.
        wait([chief, process.sentinel], self._timeout if question else None)
        said = _received(chief)
        if said is None:
            process.join(1)
            how = f"none within {self._timeout:g} seconds"
            if process.exitcode is not None:
                how = f"its end, exit code {process.exitcode}"
            raise RuntimeError(
                f"Expected an answer of the chief. Received: {how}; what it "
                "has printed may say why. If it was killed, the same call goes "
                "on with the search"
            )
        kind, answer = said
        if kind == "error":
            raise RuntimeError(f"The search has failed in its chief.\n{answer}")
        return answer


@contextlib.contextmanager
def _reserved_port() -> Iterator[int]:
    """A free port of this machine, that nobody else is given."""
    with socket.socket() as found:
        if hasattr(socket, "SO_REUSEPORT"):
            # As gRPC does: both can have it.
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        found.bind((_ADDRESS, 0))
        port = found.getsockname()[1]
        if not hasattr(socket, "SO_REUSEPORT"):
            found.close()
        yield port


@contextlib.contextmanager
def _share_of_cores(number: int, workers: int) -> Iterator[dict[str, str]]:
    """What is started in the block has a share of the cores.

    Where processes cannot be bound to cores, yields variables that say so.
    """
    if not hasattr(os, "sched_setaffinity"):
        threads = max((os.cpu_count() or 1) // workers, 1)
        yield dict.fromkeys(_THREADS, str(threads))
        return
    cores = sorted(os.sched_getaffinity(0))
    # More workers than cores share them.
    share = cores[number::workers] or [cores[number % len(cores)]]
    os.sched_setaffinity(0, share)
    try:
        yield {}
    finally:
        os.sched_setaffinity(0, cores)


def _kill(process: Any) -> None:
    """Ends a process, and those that it has started."""
    # The group has no other name than that of the process, which it keeps as
    # long as nobody has asked for its exit code.
    with contextlib.suppress(AttributeError, ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _received(found: Connection) -> tuple[str, Any] | None:
    """What a process has said, or None if it said nothing."""
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
        except Exception:  # Each kind of object has its own.
            is_found = False
        if not is_found:
            raise ValueError(
                f"Expected `{name}` to be a function that a new process can "
                "import: one of a module or of a script in a file, neither a "
                "lambda nor inside of another function. Received: "
                f"{name}={value!r}"
            )


def _is_importable(pickled: bytes) -> bool:
    """Whether a new process has what is pickled: not what is typed in."""
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
            f"Expected `gpus` to be different ones. Received: gpus={gpus!r}"
        )
    return names


def _visible_gpus() -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",")]
        return [name for name in names if name not in ("", "-1")]
    # Not by the backend: it would take hold of them.
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
