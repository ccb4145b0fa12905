"""Distributed training: several processes, each with a part of every batch.

The processes run on one or more machines.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UserError


class WorkersError(UserError):
    """Invalid worker addresses, or a lost worker; the message says which."""

    exit_code = 2


@dataclass(frozen=True)
class Workers:
    """The processes of a training, and the index of this one.

    Attributes:
        addresses: ``host:port`` of each, in the same order everywhere; empty or one for a single process.
        index: position of this process in `addresses`; the first is the chief.
    """

    addresses: tuple[str, ...] = ()
    index: int = 0

    def __post_init__(self) -> None:
        for address in self.addresses:
            host, colon, port = address.rpartition(":")
            valid = host and colon and not re.search(r"[\s/]", host)  # TensorFlow would wait for an invalid name
            if not (valid and port.isdecimal() and 0 < int(port) < 65536):
                raise WorkersError(f"'{address}' is not a worker address: use host:port, e.g. 192.168.1.7:4000")
        if len(set(self.addresses)) < len(self.addresses):
            raise WorkersError("two workers have the same address")
        if not 0 <= self.index < max(1, len(self.addresses)):
            raise WorkersError(f"worker {self.index} is not among {len(self.addresses)} addresses: count from 0")

    @property
    def count(self) -> int:
        """Number of processes, at least 1."""
        return max(1, len(self.addresses))

    def part(self, batch: int) -> range:
        """Return the positions in a batch that this worker generates and trains on.

        `batch` is the number of scenes in the complete batch.

        Raises:
            WorkersError: the batch cannot be divided equally.
        """
        if batch % self.count:
            raise WorkersError(f"a batch of {batch} cannot be divided among {self.count} workers")
        share = batch // self.count
        return range(self.index * share, (self.index + 1) * share)

    def folder(self, out: Path) -> Path:
        """Return this worker's run folder.

        It is `out` for the chief, and a subfolder of it for every other worker.
        """
        return out / f"worker{self.index}" if self.index else out

    def strategy(self) -> Any:
        """Wait for the other workers and return the `tf.distribute` strategy to train in.

        This must be called before TensorFlow is initialised.
        """
        import tensorflow as tf

        if self.count == 1:
            return tf.distribute.get_strategy()
        task = {"type": "worker", "index": self.index}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": list(self.addresses)}, "task": task})
        return tf.distribute.MultiWorkerMirroredStrategy()

    def minimum(self, strategy: Any, number: int) -> int:
        """Return the minimum of the workers' numbers, on every worker."""
        if self.count == 1:
            return number
        import tensorflow as tf

        def gather() -> Any:
            own = tf.one_hot(self.index, self.count, on_value=number, off_value=0, dtype=tf.int32)
            return tf.distribute.get_replica_context().all_reduce("SUM", own)

        return int(tf.reduce_min(tf.function(lambda: strategy.run(gather))()))

    @contextlib.contextmanager
    def explain_failures(self) -> Iterator[None]:
        """Raise a WorkersError if another worker is lost, instead of TensorFlow's error."""
        try:
            yield
        except Exception as error:
            import tensorflow as tf

            lost = (
                tf.errors.UnavailableError,
                tf.errors.AbortedError,
                tf.errors.CancelledError,
                tf.errors.DeadlineExceededError,
            )
            if self.count == 1 or not isinstance(error, lost):
                raise
            raise WorkersError(
                "another worker has ended or cannot be reached: check its messages, then restart all workers "
                "with --resume"
            ) from error
