"""Objectives that are formulas, and looks into a study, for tests of the search."""

import math

import optuna
from galaxy_edge.training.classifier.small_network import cost
from galaxy_edge.training.search.pareto_front import points


def formula(spec, report):
    """Return a score that grows with a network's cost and near a point of the space."""
    report(1, 0.1)
    return 0.1 * math.log10(cost(spec, 9).macs) - 0.05 * distance(spec.to_dict())


def distance(network):
    """Return a network's distance from the point that `formula` prefers at any cost."""
    return (
        abs(network["stages"][2]["width"] - 96) / 48 + abs(network["size"] - 69) / 21 + (network["pooling"] == "both")
    )


def running(study):
    return study.get_trials(states=(optuna.trial.TrialState.RUNNING,))


def networks(study):
    return [point.network for point in points(study)]
