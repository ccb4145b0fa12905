"""The processes of a search with KerasTuner: one, or a chief and its workers.

Several processes share a search by KerasTuner's environment variables, with the same call in each:
``KERASTUNER_TUNER_ID`` is ``chief`` in one process and any other name in the workers; ``KERASTUNER_ORACLE_IP`` and
``KERASTUNER_ORACLE_PORT`` are the chief's address. The chief distributes trials and trains none; all need the same data
and the same ``out``. The chief waits for a worker that was stopped: start it again with the same name, or stop the
chief and resume; its trial then starts again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import UserError

CHIEF_SECONDS = 120
"""Seconds that a worker waits for its chief; KerasTuner itself would wait for an hour without a message."""
NAMES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")


class TunerError(UserError):
    """A search that cannot continue; the message says why and what to do."""

    exit_code = 2


def role_of_process() -> str:
    """Return this process's role: ``alone``, ``chief`` or ``worker``.

    It follows from KerasTuner's environment variables.

    Raises:
        TunerError: some of them are missing, or wrong.
    """
    missing = [name for name in NAMES if not os.environ.get(name)]
    if len(missing) == len(NAMES):
        return "alone"
    if missing:
        raise TunerError(f"a search in several processes needs the variables {' and '.join(missing)} too")
    port = os.environ[NAMES[2]]
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise TunerError(f"{NAMES[2]} is '{port}'; it must be a port number, 1 to 65535")
    return "chief" if "chief" in os.environ[NAMES[0]] else "worker"


def wait_for_chief() -> None:
    """Wait until the chief answers.

    Raises:
        TunerError: it does not.
    """
    import grpc
    from keras_tuner.src.distribute import oracle_client

    oracle_client.TIMEOUT = CHIEF_SECONDS
    with grpc.insecure_channel(_address()) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=CHIEF_SECONDS)
        except grpc.FutureTimeoutError:
            raise TunerError(f"no chief answers at {_address()}: start it, unless the search is already over") from None


@contextmanager
def chief_fails(role: str) -> Iterator[None]:
    """Explain errors of the connection between chief and workers.

    Raises:
        TunerError: the chief cannot use its address, or does not answer a worker.
    """
    if role == "alone":
        yield
        return
    import grpc

    try:
        yield
    except grpc.RpcError:
        raise TunerError(f"the chief at {_address()} no longer answers: start it and this worker again") from None
    except RuntimeError as error:
        if role == "chief" and "bind" in str(error):
            raise TunerError(f"the chief cannot use {_address()} ({error}): name another port") from None
        raise


def _address() -> str:
    return f"{os.environ[NAMES[1]]}:{os.environ[NAMES[2]]}"
