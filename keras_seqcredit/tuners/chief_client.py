"""Communication of a worker with its chief."""

import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import grpc

from keras_seqcredit.tuners.imports import FatalRuntimeError

# File of a failed trial, in its folder.
MESSAGE = "message.txt"
# Seconds until an idle worker asks again.
REST = 1.0
_CHANNEL = (
    # Otherwise, gRPC waits up to two minutes before it tries again.
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),
)


def wait_for_chief(timeout: float) -> None:
    """Waits until the chief named by the environment answers.

    Args:
        timeout: Float, seconds.

    Raises:
        FatalRuntimeError: of KerasTuner, if it does not.
    """
    address = ":".join(
        os.environ[f"KERASTUNER_ORACLE_{part}"] for part in ("IP", "PORT")
    )
    with grpc.insecure_channel(address, options=_CHANNEL) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout)
        except grpc.FutureTimeoutError as error:
            raise FatalRuntimeError(
                f"Expected a chief at {address}, as KERASTUNER_ORACLE_IP and "
                "KERASTUNER_ORACLE_PORT say. Received: no answer within "
                f"{timeout:g} seconds"
            ) from error


class ChiefClient:
    """KerasTuner's client of the chief, without its errors.

    KerasTuner 1.4.8 waits an hour for a chief that is gone, polls without a
    pause while there is nothing to do, gives trials the values of conditions
    that they do not meet, and drops the messages of failed trials.

    Args:
        tuner: The KerasTuner tuner of a worker.
        timeout: Float, seconds after which the chief counts as gone.

    Attributes:
        is_told_to_stop: Boolean, whether the search has ended.
    """

    def __init__(self, tuner: Any, timeout: float) -> None:
        self._client = tuner.oracle
        self._get_trial_dir = tuner.get_trial_dir
        self._timeout = timeout
        self.is_told_to_stop = False

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, name)
        return self._answered(value) if callable(value) else value

    def create_trial(self, tuner_id: str) -> Any:
        trial = self._answered(self._client.create_trial)(tuner_id)
        if trial.status == "IDLE":
            time.sleep(REST)
        self.is_told_to_stop = trial.status == "STOPPED"
        trial.hyperparameters.ensure_active_values()
        return trial

    def end_trial(self, trial: Any) -> None:
        path = pathlib.Path(self._get_trial_dir(trial.trial_id)) / MESSAGE
        path.unlink(missing_ok=True)
        if trial.message:
            path.write_text(trial.message, encoding="utf-8")
        self._answered(self._client.end_trial)(trial)

    def _answered(self, function: Callable) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            wait_for_chief(self._timeout)
            try:
                return function(*args, **kwargs)
            except grpc.RpcError as error:
                raise FatalRuntimeError(
                    f"The chief has failed: {error.details()}"
                ) from error

        return call
