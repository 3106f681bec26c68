"""The work of each process of a parallel search."""

import contextlib
import os
import pathlib
import signal
import threading
import traceback
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from keras_seqcredit.tuners.chief_client import MESSAGE
from keras_seqcredit.tuners.chief_client import ChiefClient
from keras_seqcredit.tuners.imports import FatalValueError
from keras_seqcredit.tuners.imports import keras_tuner
from keras_seqcredit.tuners.imports import silence_conditions
from keras_seqcredit.tuners.search_configuration import FILE
from keras_seqcredit.tuners.search_configuration import check_configuration

# The tuner id of a single-process search, to find saved parallel searches.
SINGLE = "tuner0"
# Number of lines of a traceback that is passed on.
LINES = 20
# Seconds that a chief may take to finish writing.
GRACE = 5.0


@contextlib.contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Sets environment variables for the duration of the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def run_chief(
    make_tuner: Callable[[], Any],
    verbose: Any,
    workers: Iterable[str] = (),
    on_ready: Callable[[Any], None] | None = None,
) -> Any:
    """Hands out trials to workers until the search ends.

    Args:
        make_tuner: Function that returns a KerasTuner tuner.
        verbose: As in `keras_tuner.Tuner.search`.
        workers: Ids of workers to wait for, even if they are late. Defaults to
            `()`.
        on_ready: Function called with the tuner before workers get answers.
            Defaults to `None`.

    Returns:
        The tuner, with all trials.

    Raises:
        FatalValueError: of KerasTuner, if the folder holds another search.
    """
    silence_conditions()
    # Under an id that has saved nothing, KerasTuner does not reload: the tuner
    # keeps the space of the program.
    with environment({"KERASTUNER_TUNER_ID": "new_chief"}):
        tuner = _checked(make_tuner())
    check_configuration(tuner)
    tuner.tuner_id = SINGLE
    oracle = tuner.oracle
    if (pathlib.Path(tuner.project_dir) / "oracle.json").exists():
        oracle.reload()
    oracle.end_trial = _ending_with_messages(tuner)
    oracle.tuner_ids.update(workers)
    if on_ready is not None:
        on_ready(tuner)
    tuner.search(verbose=verbose)
    return tuner


def run_worker(
    make_tuner: Callable[[], Any],
    search: Callable[[Any], Any],
    timeout: float,
    shares_folder: bool = False,
) -> None:
    """Runs trials from a chief until the search ends.

    Args:
        make_tuner: Function that returns a KerasTuner tuner.
        search: Function of the tuner that calls its `search`.
        timeout: Float, seconds to wait for the chief.
        shares_folder: Boolean, whether the folder is known to be the chief's.
            Defaults to `False`.

    Raises:
        FatalRuntimeError: of KerasTuner, if the chief does not answer.
        ValueError: if a function does not do what it should.
    """
    silence_conditions()
    tuner = _checked(make_tuner())
    folder = pathlib.Path(tuner.project_dir)
    if shares_folder and not (folder / FILE).exists():
        raise ValueError(
            "Each process makes a tuner: expected `make_tuner` to make it "
            "with `overwrite=False`. Delete the folder to start anew. "
            f"Received: a tuner that has deleted {folder}"
        )
    client = ChiefClient(tuner, timeout)
    tuner.oracle = client
    search(tuner)
    if not client.is_told_to_stop:
        raise ValueError(
            "Expected `search` to call the `search` of the tuner that it is "
            f"given. Received: search={search!r}, which has returned before "
            "the search ended"
        )


def run_process(
    name: str,
    workers: list[str],
    timeout: float,
    connection: Connection,
    make_tuner: Callable[[], Any],
    search: Callable[[Any], Any],
    verbose: Any,
) -> None:
    """Runs the chief or a worker, and ends when its parent does.

    Args:
        name: Id of one of the workers, or another name for the chief.
        workers: Ids of all workers.
        timeout: Float, seconds to wait for the chief.
        connection: Connection to the parent. If it is closed, the process ends.
        make_tuner: Function that returns a KerasTuner tuner.
        search: Function of the tuner that calls its `search`.
        verbose: As in `keras_tuner.Tuner.search`.
    """
    if hasattr(os, "setsid"):
        # Ctrl-C reaches only the parent, and children of this process can be
        # ended with it.
        os.setsid()
    parent = _Parent(connection)
    try:
        if name in workers:
            run_worker(make_tuner, search, timeout, shares_folder=True)
        else:
            run_chief(make_tuner, verbose, workers, parent.tell_ready)
    except BaseException:
        parent.tell_error()
        raise


class _Parent:
    """The process that started this one, as seen from here."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._oracle: Any = None
        threading.Thread(target=self._listen, daemon=True).start()

    def tell_ready(self, tuner: Any) -> None:
        self._oracle = tuner.oracle
        self._connection.send(("ready", None))

    def tell_error(self) -> None:
        lines = traceback.format_exc().splitlines()[-LINES:]
        with contextlib.suppress(OSError):
            self._connection.send(("error", "\n".join(lines)))

    def _listen(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                worker, how = self._connection.recv()
                try:
                    trial = _end_trial_of(self._oracle, worker, how)
                    self._connection.send(("ended", trial))
                except Exception:
                    self.tell_error()
        self._end()

    def _end(self) -> None:
        if self._oracle is not None:
            # Not while writing a file.
            end = threading.Thread(
                target=_exit_between_calls, args=(self._oracle,), daemon=True
            )
            end.start()
            end.join(GRACE)
        if hasattr(os, "killpg"):
            os.killpg(0, signal.SIGKILL)
        os._exit(1)


def _checked(tuner: Any) -> Any:
    if not isinstance(tuner, keras_tuner.engine.base_tuner.BaseTuner):
        raise FatalValueError(
            "Expected `make_tuner` to return a tuner of KerasTuner. Received: "
            f"{tuner!r}"
        )
    return tuner


def _ending_with_messages(tuner: Any) -> Callable[[Any], None]:
    """The oracle's `end_trial`, with the message left by a worker."""
    end_trial = tuner.oracle.end_trial

    def end_with_message(trial: Any) -> None:
        path = pathlib.Path(tuner.get_trial_dir(trial.trial_id)) / MESSAGE
        if trial.message is None and path.exists():
            trial.message = path.read_text(encoding="utf-8")
        end_trial(trial)

    return end_with_message


@keras_tuner.synchronized
def _end_trial_of(oracle: Any, worker: str, how: str) -> str | None:
    """Ends the trial of a worker that is gone, as a crashed trial.

    Otherwise, `Hyperband` and `GridSearch` would wait for that trial.
    """
    trial = oracle.ongoing_trials.get(worker)
    if trial is None:
        return None
    trial.status = "INVALID"
    trial.message = f"The process of the trial was ended by {how}."
    oracle.end_trial(trial)
    return trial.trial_id


@keras_tuner.synchronized
def _exit_between_calls(oracle: Any) -> None:
    os._exit(0)
