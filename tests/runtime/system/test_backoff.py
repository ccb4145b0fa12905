"""Waits between attempts.

They grow until a connection has lasted, whatever it does at once.
"""

from galaxy_edge.runtime.system.backoff import Backoff


def test_waits_grow_until_a_connection_has_lasted_a_minute():
    """A connection that is lost at once counts as a failed attempt."""
    now = [0.0]
    backoff = Backoff(0.25, 30.0, lambda: now[0])
    waits = []
    for _ in range(9):
        backoff.connected()
        now[0] += 1
        backoff.lost()
        waits.append(backoff.next_wait())
    assert waits == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]
    backoff.connected()
    now[0] += 60
    backoff.lost()
    assert backoff.next_wait() == 0.25 and backoff.losses == 1


def test_frequent_losses_are_reported_ever_more_rarely():
    now = [0.0]
    backoff = Backoff(1, 60, lambda: now[0])
    worth = []
    for _ in range(20):
        backoff.connected()
        backoff.lost()
        worth.append(backoff.is_worth_a_message)
    assert [number for number, is_worth in enumerate(worth, 1) if is_worth] == [1, 2, 4, 8, 16]
    now[0] += 60
    assert backoff.is_worth_a_message  # it has been away for a minute
