"""Search the space of small networks for those that name galaxies best at each cost (report section 2.9.2).

The report's search maximised accuracy alone; this one also minimises multiply-adds, and so ends in a front from which
every device takes the best that it can afford. A multivariate, multi-objective TPE (Ozaki et al. 2022,
doi:10.1613/jair.1.13188) proposes; what is over the limits is proposed anew before a trial begins.

Any number of processes and machines work on one study through a journal in a shared folder. A worker holds a lock on
a file of its own as long as it lives, and touches it; the trial of a worker that died is begun again by another.

Optuna prunes with one objective only, so a trial is stopped here by a median rule of its own (after Golovin et al.
2017, doi:10.1145/3097983.3098043) among trials that cost no more: a small network is never stopped for being worse
than a large one, and where few are as cheap, none is stopped.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import UserError, disk_is_full
from ...models.labels import CLASSES
from .classifier_space import CLASSIFIERS
from .pareto_front import curve_of, points, write_trials
from .space import Space
from .study_store import Heartbeat, Limits, SearchError, distributions, locked, open_study, sampler

if TYPE_CHECKING:
    import optuna

Report = Callable[[int, float], None]
"""Told the epoch (from 1) and the validation score after it; raises `optuna.TrialPruned` when it is not worth more."""

Objective = Callable[[Any, Report], float]
"""Trains a network of the space and gives its score on validation pictures, 0..1."""

logger = logging.getLogger(__name__)

ANY = Limits()

SIMILAR_COST = 1.25
"""A trial is judged against those of at most so many times its multiply-adds."""
POLL_SECONDS = 0.5
ATTEMPTS = 3
"""How often a trial is begun: one that takes its worker down with it each time must not end them all."""


def falls_behind(best: float, others: Sequence[Mapping[int, float]], epoch: int, peers: int) -> bool:
    """Tell whether a trial is below the median of the others at the same epoch.

    Args:
        best: its best score up to this epoch.
        others: epoch -> score of the trials to compare with; those that did not come this far are left out.
        peers: how many must have come this far for a verdict.
    """
    reached = [
        max(score for at, score in curve.items() if at <= epoch)
        for curve in others
        if curve and min(curve) <= epoch <= max(curve)
    ]
    return len(reached) >= peers and best < float(np.median(reached))


def run_worker(
    objective: Objective,
    storage: Path,
    trials: int,
    seed: int = 1,
    limits: Limits = ANY,
    *,
    classes: int = len(CLASSES),
    warmup: int = 5,
    peers: int = 5,
    about: dict[str, Any] | None = None,
    space: Space = CLASSIFIERS,
) -> int:
    """Work on a study until it has enough trials; any number of workers may do so at once.

    Args:
        objective: trains; what it raises ends this worker, and the trial is begun again, `ATTEMPTS` times in all.
        storage: folder of the study, shared by its workers.
        trials: how many the study shall have finished or pruned in all, those of other workers and earlier runs too.
        seed: of the study. What the n-th network is drawn with depends on this and n alone, so that an interrupted
            study goes on as if it had not been.
        limits: what a network may cost.
        classes: number of outputs.
        warmup: the first epoch after which a trial may be pruned.
        peers: trials of no more cost that must have come as far before one is pruned.
        space: what is searched.
        about: plain values that the objective depends on (data hash, epochs ...); a study keeps to them.

    Returns:
        How many trials this worker finished.

    Raises:
        SearchError: see `open_study`; or no network is within the limits.
    """
    agreed = {
        "seed": seed,
        "limits": asdict(limits),
        "classes": classes,
        "warmup": warmup,
        "peers": peers,
        "about": about or {},
    }

    def fits(choice: Mapping[str, Any]) -> bool:
        price = space.cost(space.network(choice), classes)
        return limits.allow(price.macs, price.int8_bytes)

    study = open_study(storage, agreed, space)
    with locked(storage / "turn"):
        if trials and not study.get_trials(deepcopy=False) and fits(space.start):
            study.enqueue_trial(dict(space.start))
    done = 0
    with Heartbeat(storage) as presence:
        while True:
            with locked(storage / "turn"):
                trial = _claim(study, space, presence, trials, seed, fits)
            if isinstance(trial, bool):
                if trial:
                    return done
                time.sleep(POLL_SECONDS)  # others are at the last trials: stay, in case one of them dies
                continue
            done += _run(study, space, trial, objective, storage, agreed)


def _claim(
    study: optuna.Study,
    space: Space,
    presence: Heartbeat,
    trials: int,
    seed: int,
    fits: Callable[[Mapping[str, Any]], bool],
) -> optuna.Trial | bool:
    """Take the next trial, alone among all workers; True if all are done, False if others are at the last ones."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        # Without an owner, it was left by a worker that was killed in this very place.
        if not presence.sees(trial.user_attrs.get("owner", "nobody")):
            _give_back(study, space, trial.number)
    known = study.get_trials(deepcopy=False)
    finished = sum(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in known)
    if finished + sum(trial.state == TrialState.RUNNING for trial in known) >= trials:
        return finished >= trials
    drawn = sum("copy_of" not in trial.user_attrs for trial in known)
    study.sampler = sampler(space, [seed, drawn], fits)
    claimed = study.ask(distributions(space))
    claimed.set_user_attr("owner", presence.name)
    return claimed


def _give_back(study: optuna.Study, space: Space, number: int) -> None:
    """Fail a trial whose worker is gone, and line its network up to be tried again."""
    from optuna.trial import TrialState

    known = study.get_trials(deepcopy=False)
    trial = known[number]
    if trial.state.is_finished():
        return
    choice = trial.user_attrs.get("choice", trial.params)
    attempt = trial.user_attrs.get("attempt", 1)
    copied = any(other.user_attrs.get("copy_of") == number for other in known)
    # The copy comes first: whoever dies between the two leaves nothing undone.
    if choice.keys() == space.choices.keys() and attempt < ATTEMPTS and not copied:
        study.enqueue_trial(choice, user_attrs={"copy_of": number, "attempt": attempt + 1, "choice": choice})
    study.tell(number, state=TrialState.FAIL)


def _run(
    study: optuna.Study,
    space: Space,
    trial: optuna.Trial,
    objective: Objective,
    storage: Path,
    agreed: dict[str, Any],
) -> int:
    """Train a trial's network and record what comes out; give 1, or 0 where another worker has taken it over."""
    import optuna
    from optuna.trial import TrialState

    spec = space.network(trial.params)
    price = space.cost(spec, agreed["classes"])
    curve: dict[int, float] = {}

    def report(epoch: int, score: float) -> None:
        if not math.isfinite(score):
            raise optuna.TrialPruned(f"its score after epoch {epoch} is {score}")
        curve[epoch] = float(score)
        trial.set_user_attr(f"epoch {epoch}", curve[epoch])
        others = [
            curve_of(other)
            for other in study.get_trials(deepcopy=False)
            if other.number != trial.number
            and other.state != TrialState.FAIL
            and other.user_attrs.get("macs", math.inf) <= SIMILAR_COST * price.macs
        ]
        if epoch >= agreed["warmup"] and falls_behind(max(curve.values()), others, epoch, agreed["peers"]):
            raise optuna.TrialPruned(f"below the median of its peers at epoch {epoch}")

    try:
        for name, value in price._asdict().items():
            trial.set_user_attr(name, value)
        try:
            score = float(objective(spec, report))
            if not math.isfinite(score):
                raise optuna.TrialPruned(f"its score is {score}")
        except optuna.TrialPruned as reason:
            trial.set_user_attr("stopped", str(reason))
            told = study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
            outcome = f"stopped, {reason}"
        else:
            # In decades, so that halving the cost counts as much at either end of the front.
            values = [score, math.log10(price.macs)]
            told = study.tell(trial, values, skip_if_finished=True)
            outcome = f"{space.score[1]} {score:.4f}"
    except optuna.exceptions.UpdateFinishedTrialError:
        return 0  # silent for so long (a machine that slept) that another worker took the trial over
    except BaseException:
        with locked(storage / "turn"):
            _give_back(study, space, trial.number)
        raise
    if told.state == TrialState.FAIL:
        return 0  # taken over likewise
    kib = f"{price.int8_bytes / 1024:.0f} KiB"
    logger.info("trial %d: %s, %s MACs, %s", trial.number, outcome, f"{price.macs:,}", kib)
    return 1


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
    """Search with some processes on this machine, and write ``trials.json`` into the folder.

    Args:
        workers: number of processes; with more than one, the objective must be importable by name.
        initialize: called first in each additional process, e.g. to configure logging; must be importable by name.
        options: these and the other arguments: see `run_worker`.

    Raises:
        SearchError: see `run_worker`; or workers stopped and left trials undone.
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
            f"{failed} of {workers} workers stopped with {done} of {trials} trials done: see what they "
            "said above, mend it, and run the same again to go on"
        )
    write_trials(study, storage)
    return study


def _work(initialize: Callable[[], None], *work: Any, **options: Any) -> None:
    """Run a worker in a process of its own; report errors without a traceback, like the command line does."""
    initialize()
    try:
        run_worker(*work, **options)
    except UserError as error:
        logger.error("%s", error)
        sys.exit(error.exit_code)
    except Exception as error:
        if os.environ.get("GALAXY_EDGE_DEBUG"):
            raise
        unexpected = f"unexpected {type(error).__name__}: {error}"
        logger.error("%s", "the disk is full: free some space" if disk_is_full(error) else unexpected)
        sys.exit(1)
