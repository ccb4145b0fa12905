"""KerasTuner's Bayesian oracle, made safe against being killed.

Its files are never half written, so that a search can be killed at any moment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras_tuner

from ..run import write_json


class DurableOracle(keras_tuner.oracles.BayesianOptimizationOracle):  # type: ignore[misc] # KerasTuner has no types
    """A Bayesian oracle that writes its state and its trials atomically.

    It also restarts trials that a kill left without a worker.
    """

    def save(self) -> None:
        """Write the state of the search."""
        write_json(Path(self._get_oracle_fname()), self.get_state())

    def _save_trial(self, trial: Any) -> None:
        write_json(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

    def update_trial(self, *values: Any, **named: Any) -> Any:
        """Record what was measured in a trial.

        KerasTuner would count an error, such as that of a full disk, as a failed trial; a fatal one is tried again by
        a resume.
        """
        try:
            return super().update_trial(*values, **named)
        except Exception as error:
            raise keras_tuner.errors.FatalError(str(error)) from error

    def reload(self) -> None:
        """Read the state of the search.

        A trial that was drawn but is not in the state yet is queued too, also one that failed, and one that is complete
        is not.

        Raises:
            ValueError: the file of a trial is missing. Its number would be given to another trial.
        """
        super().reload()
        if lost := sorted({*self.start_order, *self.end_order} - self.trials.keys()):
            raise ValueError(f"trial_{lost[0]}/trial.json is missing or cannot be read")
        for name, trial in sorted(self.trials.items()):
            if trial.status in ("RUNNING", "FAILED"):
                trial.metrics = type(trial.metrics)()  # those of a trial that was killed at its end would stay
                self._run_times.pop(name, None)
                if name in self.end_order:
                    self.end_order.remove(name)
                if name not in self._retry_queue:
                    self._retry_queue.append(name)
                if name not in self.start_order:
                    self.start_order.append(name)
            elif trial.status == "COMPLETED" and name in self._retry_queue:
                self._retry_queue.remove(name)
                self.end_order.append(name)
