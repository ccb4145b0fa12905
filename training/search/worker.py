"""A worker of a search for small networks: it proposes, trains and prunes.

The university report's search maximised accuracy only; this one also minimises multiply-adds and yields a Pareto front
of both. Networks are proposed by a multivariate, multi-objective TPE (Ozaki et al. 2022, doi:10.1613/jair.1.13188);
proposals over the limits are replaced before a trial starts.

Any number of processes and machines can work on one study through a journal in a shared folder. A worker holds a lock
on a file of its own while it is alive, and touches it; the trial of a worker that died is restarted by another.

Optuna prunes with one objective only, so trials are pruned here by a median rule (after Golovin et al.
2017, doi:10.1145/3097983.3098043) among trials that do not cost more: a small network is never pruned for being worse
than a large one, and nothing is pruned before enough trials are as cheap.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...models.labels import CLASSES
from .classifier_space import CLASSIFIERS
from .pareto_front import curve_of
from .space import Space
from .study_store import Heartbeat, Limits, distributions, draw_network, locked, open_study, sampler

if TYPE_CHECKING:
    import optuna

Report = Callable[[int, float], None]
"""Called with the epoch (from 1) and the validation score after it; raises `optuna.TrialPruned` to stop the trial."""

Objective = Callable[[Any, Report], float]
"""Trains a network of the space and returns its score on validation images, 0..1."""

logger = logging.getLogger(__name__)

ANY = Limits()

SIMILAR_COST = 1.25
"""Trials of at most this many times the multiply-adds are compared for pruning."""
POLL_SECONDS = 0.5
ATTEMPTS = 3
"""Maximum number of starts of a trial: a trial that crashes its worker must not stop all workers."""


def falls_behind(best: float, others: Sequence[Mapping[int, float]], epoch: int, peers: int) -> bool:
    """Return whether a trial is below the median of the others at the same epoch.

    Args:
        best: its best score up to this epoch.
        others: epoch -> score of the trials to compare with; trials that did not reach this epoch are ignored.
        peers: minimum number of trials that must have reached this epoch.
    """
    reached = [
        max(score for at, score in curve.items() if at <= epoch)
        for curve in others
        if curve and min(curve) <= epoch <= max(curve)
    ]
    return len(reached) >= peers and best < float(np.median(reached))


# Long because a worker's life reads from top to bottom. Many parameters because it runs in a separate process.
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
    """Run trials of a study, possibly along with other workers, until it has enough.

    Args:
        objective: trains a network. An exception stops this worker; the trial is restarted, at most `ATTEMPTS` times.
        storage: folder of the study, shared by its workers.
        trials: total number of finished or pruned trials, including those of other workers and earlier runs.
        seed: seed of the study. The random numbers for the n-th network depend on this and n only, so a resumed study
            equals an uninterrupted one.
        limits: maximum cost of a network.
        classes: number of outputs.
        warmup: the first epoch after which a trial may be pruned.
        peers: number of trials of similar or lower cost that must have reached an epoch before one is pruned there.
        space: the space of networks.
        about: plain values on which the objective depends (data hash, epochs ...); all workers must pass the same.

    Returns:
        The number of trials that this worker finished.

    Raises:
        SearchError: see `open_study`; or no network is within the limits.
    """
    agreed = {"seed": seed, "limits": asdict(limits), "classes": classes, "warmup": warmup, "peers": peers}
    agreed["about"] = about or {}

    def fits(choice: Mapping[str, Any]) -> bool:
        cost = space.cost(space.network(choice), classes)
        return limits.allow(cost.macs, cost.int8_bytes)

    if not fits(space.start):
        draw_network(space, np.random.default_rng(seed), fits)  # refuses impossible limits before a study has them
    study = open_study(storage, agreed, space)
    with locked(storage / "turn"):
        if trials and not study.get_trials(deepcopy=False) and fits(space.start):
            study.enqueue_trial(dict(space.start))
    done = 0
    with Heartbeat(storage) as heartbeat:
        while True:
            with locked(storage / "turn"):
                trial = _claim(study, space, heartbeat, trials, seed, fits)
            if isinstance(trial, bool):
                if trial:
                    return done
                time.sleep(POLL_SECONDS)  # other workers process the last trials: stay, in case one of them dies
                continue
            done += _run(study, space, trial, objective, storage, agreed)


def _claim(
    study: optuna.Study,
    space: Space,
    heartbeat: Heartbeat,
    trials: int,
    seed: int,
    fits: Callable[[Mapping[str, Any]], bool],
) -> optuna.Trial | bool:
    """Return the next trial to run, or whether all trials are done.

    False means that other workers still run the last ones. The caller holds the lock.
    """
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        # A trial without an owner was left by a worker that was killed in this function.
        if not heartbeat.is_alive(trial.user_attrs.get("owner", "nobody")):
            _give_back(study, space, trial.number)
    known = study.get_trials(deepcopy=False)
    finished = sum(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in known)
    if finished + sum(trial.state == TrialState.RUNNING for trial in known) >= trials:
        return finished >= trials
    drawn = sum("copy_of" not in trial.user_attrs for trial in known)
    study.sampler = sampler(space, [seed, drawn], fits)
    claimed = study.ask(distributions(space))
    claimed.set_user_attr("owner", heartbeat.name)
    return claimed


def _give_back(study: optuna.Study, space: Space, number: int) -> None:
    """Mark the trial of a lost worker as failed and enqueue its network again."""
    from optuna.trial import TrialState

    known = study.get_trials(deepcopy=False)
    trial = known[number]
    if trial.state.is_finished():
        return
    choice = trial.user_attrs.get("choice", trial.params)
    attempt = trial.user_attrs.get("attempt", 1)
    copied = any(other.user_attrs.get("copy_of") == number for other in known)
    # The copy is enqueued first, so that a worker that dies between the two loses nothing.
    if choice.keys() == space.choices.keys() and attempt < ATTEMPTS and not copied:
        study.enqueue_trial(choice, user_attrs={"copy_of": number, "attempt": attempt + 1, "choice": choice})
    study.tell(number, state=TrialState.FAIL)


# Long because a trial's life reads from top to bottom.
def _run(
    study: optuna.Study, space: Space, trial: optuna.Trial, objective: Objective, storage: Path, agreed: dict[str, Any]
) -> int:
    """Run a trial and record its score; return 1, or 0 if it was taken over."""
    import optuna
    from optuna.trial import TrialState

    spec = space.network(trial.params)
    cost = space.cost(spec, agreed["classes"])
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
            and other.user_attrs.get("macs", math.inf) <= SIMILAR_COST * cost.macs
        ]
        if epoch >= agreed["warmup"] and falls_behind(max(curve.values()), others, epoch, agreed["peers"]):
            raise optuna.TrialPruned(f"below the median of its peers at epoch {epoch}")

    try:
        for name, value in cost._asdict().items():
            trial.set_user_attr(name, value)
        try:
            score = float(objective(spec, report))
            if not math.isfinite(score):
                raise optuna.TrialPruned(f"its score is {score}")
        except optuna.TrialPruned as reason:
            trial.set_user_attr("stopped", str(reason))
            recorded = study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
            outcome = f"stopped, {reason}"
        else:
            # The logarithm, so that halving the cost counts the same at both ends of the front.
            values = [score, math.log10(cost.macs)]
            recorded = study.tell(trial, values, skip_if_finished=True)
            outcome = f"{space.score[1]} {score:.4f}"
    except optuna.exceptions.UpdateFinishedTrialError:
        return 0  # after a long silence (a suspended machine), another worker took the trial over
    except BaseException:
        with locked(storage / "turn"):
            _give_back(study, space, trial.number)
        raise
    if recorded.state == TrialState.FAIL:
        return 0  # taken over, too
    kib = f"{cost.int8_bytes / 1024:.0f} KiB"
    logger.info("trial %d: %s, %s MACs, %s", trial.number, outcome, f"{cost.macs:,}", kib)
    return 1
