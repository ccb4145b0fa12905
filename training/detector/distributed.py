"""Several processes, on one machine or more, that train one network on the parts of common batches."""

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
    """Addresses that cannot be those of workers; the message says why."""

    exit_code = 2


@dataclass(frozen=True)
class Workers:
    """The processes of a training, and which of them this one is.

    Attributes:
        addresses: ``host:port`` of each, the same list in the same order everywhere; none or one is a training alone.
        index: the place of this process in it; the first is the chief.
    """

    addresses: tuple[str, ...] = ()
    index: int = 0

    def __post_init__(self) -> None:
        for address in self.addresses:
            host, colon, port = address.rpartition(":")
            named = host and colon and not re.search(r"[\s/]", host)  # a name that is none would be waited for
            if not (named and port.isdecimal() and 0 < int(port) < 65536):
                raise WorkersError(f"'{address}' is no address of a worker: host:port is needed, e.g. 192.168.1.7:4000")
        if len(set(self.addresses)) < len(self.addresses):
            raise WorkersError("two workers have the same address")
        if not 0 <= self.index < max(1, len(self.addresses)):
            raise WorkersError(f"worker {self.index} is not among {len(self.addresses)} addresses: count from 0")

    @property
    def count(self) -> int:
        """How many there are."""
        return max(1, len(self.addresses))

    def part(self, batch: int) -> range:
        """Give the places in a batch of so many scenes that this worker makes and learns from.

        Raises:
            WorkersError: the batch cannot be divided equally.
        """
        if batch % self.count:
            raise WorkersError(f"a batch of {batch} cannot be divided among {self.count} workers")
        share = batch // self.count
        return range(self.index * share, (self.index + 1) * share)

    def folder(self, out: Path) -> Path:
        """Give this worker's run folder: `out` is the chief's, the others have theirs in it."""
        return out / f"worker{self.index}" if self.index else out

    def strategy(self) -> Any:
        """Meet the others, and give the `tf.distribute` strategy to train in; call it before TensorFlow has worked.

        It waits until all are there.
        """
        import tensorflow as tf

        if self.count == 1:
            return tf.distribute.get_strategy()
        task = {"type": "worker", "index": self.index}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": list(self.addresses)}, "task": task})
        return tf.distribute.MultiWorkerMirroredStrategy()

    def least(self, strategy: Any, number: int) -> int:
        """Give the least of the numbers that the workers bring, to all of them."""
        if self.count == 1:
            return number
        import tensorflow as tf

        def gather() -> Any:
            own = tf.one_hot(self.index, self.count, on_value=number, off_value=0, dtype=tf.int32)
            return tf.distribute.get_replica_context().all_reduce("SUM", own)

        return int(tf.reduce_min(tf.function(lambda: strategy.run(gather))()))

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Tell in one line where another worker is lost, instead of where in the network it was missed."""
        try:
            yield
        except Exception as problem:
            import tensorflow as tf

            lost = (
                tf.errors.UnavailableError,
                tf.errors.AbortedError,
                tf.errors.CancelledError,
                tf.errors.DeadlineExceededError,
            )
            if self.count == 1 or not isinstance(problem, lost):
                raise
            raise WorkersError(
                "another worker has ended or cannot be reached: look there why, and start all of them "
                "again, with --resume"
            ) from problem
