"""Search a space of small networks for score and cost together.

The workers are one or several processes of a machine.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UserError, explain_refusal
from .pareto_front import points, write_trials
from .study_store import Limits, SearchError, open_study
from .worker import ANY, Objective, run_worker

if TYPE_CHECKING:
    import optuna

logger = logging.getLogger(__name__)


def _do_nothing() -> None:
    pass


def search(
    objective: Objective,
    storage: Path,
    trials: int,
    seed: int = 1,
    limits: Limits = ANY,
    workers: int = 1,
    initialize: Callable[[], None] = _do_nothing,
    **options: Any,
) -> optuna.Study:
    """Search with one or several local processes, and write ``trials.json``.

    Args:
        workers: number of processes; with more than one, the objective must be importable by name.
        initialize: called first in each additional process, e.g. to configure logging; must be importable by name.
        options: these and the other arguments: see `run_worker`.

    Raises:
        SearchError: see `run_worker`; or workers stopped before all trials were done.
    """
    work = (objective, storage, trials, seed, limits)
    if workers == 1:
        run_worker(*work, **options)
        failed = 0
    else:
        context = multiprocessing.get_context("spawn")
        processes = [context.Process(target=_work, args=(initialize, *work), kwargs=options) for _ in range(workers)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        failed = sum(process.exitcode != 0 for process in processes)
    study = open_study(storage)
    done = len(points(study))
    if done < trials:
        raise SearchError(
            f"{failed} of {workers} workers stopped with {done} of {trials} trials done: see their "
            "messages above, fix the cause, and run the same command again to resume"
        )
    write_trials(study, storage)
    return study


def _work(initialize: Callable[[], None], *work: Any, **options: Any) -> None:
    """Run a worker in a separate process; report errors without a traceback."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    initialize()
    try:
        run_worker(*work, **options)
    except KeyboardInterrupt:
        sys.exit(130)
    except UserError as error:
        logger.error("%s", error)
        sys.exit(error.exit_code)
    except Exception as error:
        if os.environ.get("GALAXY_EDGE_DEBUG"):
            raise
        logger.error("%s", explain_refusal(error) or f"unexpected {type(error).__name__}: {error}")
        sys.exit(1)


def _end_with_parent() -> None:
    """End this process when its parent has ended: nobody would read its result."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
