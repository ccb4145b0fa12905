"""The queue of messages.

Its limit, a disk that cannot be written, a file that is damaged or breaks.
"""

import json
import sqlite3

import pytest

pytest.importorskip("paho.mqtt.client", reason="needs the mqtt extra")
from galaxy_edge.runtime.mqtt.outbox import Outbox
from helpers.tracks import track, until


def contents(outbox, count=10, **where):
    return [message.content for message in outbox.peek(count, **where)]


def test_oldest_messages_are_dropped_beyond_the_limit(tmp_path):
    """A broker that is gone forever must not fill the disk.

    What is left survives a restart.
    """
    outbox = Outbox(tmp_path / "outbox.sqlite", max_messages=5)
    outbox.add([("t", str(number)) for number in range(8)])
    assert contents(outbox) == ["3", "4", "5", "6", "7"] and outbox.lost == 3
    first, second, *_ = outbox.peek(10)
    assert contents(outbox, 2, after=first.position) == ["4", "5"]
    outbox.remove([second.position])
    outbox.close()
    reopened = Outbox(tmp_path / "outbox.sqlite")
    assert contents(reopened) == ["3", "5", "6", "7"]
    reopened.close()


def test_messages_wait_in_memory_while_the_file_cannot_be_written(tmp_path):
    """Up to the same limit; they are written by the next call that can."""
    outbox = Outbox(tmp_path / "outbox.sqlite", max_messages=3, busy_timeout=0)
    other = sqlite3.connect(tmp_path / "outbox.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    outbox.add([("t", str(number)) for number in range(5)])
    other.execute("ROLLBACK")
    assert outbox.lost == 2
    outbox.add([])
    assert contents(outbox) == ["2", "3", "4"]
    other.close()
    outbox.close()


def test_messages_that_wait_move_with_a_clock_that_is_set(tmp_path):
    """Without a network there is neither a broker nor the time.

    Both come together, after hours.
    """
    outbox = Outbox(tmp_path / "outbox.sqlite")
    event = json.dumps({"id": "0123abcd-00001", "first_time": "1970-01-01T00:00:05.000Z", "last_time": "x"})
    other = event.replace("0123abcd", "00000000")
    outbox.add([("t", event), ("t", other), ("t", "no JSON")])
    outbox.move_times("0123abcd", 3600)
    moved, *others = contents(outbox)
    assert json.loads(moved)["first_time"] == "1970-01-01T01:00:05.000Z" and json.loads(moved)["last_time"] == "x"
    assert others == [other, "no JSON"]
    outbox.close()


def test_damaged_file_is_renamed_and_reported(broker, subscriber, make_sink, tmp_path, caplog):
    """The run then publishes with a new file."""
    path = tmp_path / "mqtt.sqlite"
    Outbox(path).close()
    path.write_bytes(path.read_bytes()[:50] + b"no more of it" * 500)
    sink = make_sink(broker)
    sink.events([track(1, ended=True)])
    until(lambda: len(subscriber.events()) == 2)
    renamed = next(tmp_path.glob("mqtt-unreadable-*.sqlite"))
    assert caplog.messages == [f"{path} was damaged; it is now {renamed}, and a new one was created"]


def test_file_that_is_removed_during_a_run_is_written_again(broker, make_sink, tmp_path, caplog):
    """Messages written to a removed file would be lost at the end of the run."""
    broker.kill()
    sink = make_sink(broker)
    sink.events([track(1)])
    until(lambda: sink.pending == 1)
    for path in tmp_path.glob("mqtt.sqlite*"):
        path.unlink()
    until(lambda: (tmp_path / "mqtt.sqlite").exists())
    sink.events([track(2)])
    sink.close(0, 0)
    assert (
        len([message for message in caplog.messages if "was removed or renamed: 1 messages that wait" in message]) == 1
    )
    reopened = Outbox(tmp_path / "mqtt.sqlite")
    assert [json.loads(content)["id"][-1] for content in contents(reopened)] == ["1", "2"]
    reopened.close()


def test_file_that_is_replaced_during_a_run_is_left_alone(broker, make_sink, tmp_path, caplog):
    """The new file is the queue of another run."""
    broker.kill()
    sink = make_sink(broker)
    tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}-before"))
    tmp_path.mkdir()
    Outbox(tmp_path / "mqtt.sqlite").close()
    until(lambda: "was replaced by another: messages that wait at the end of the run are lost" in caplog.text)
    sink.events([track(1)])
    sink.close(0, 0)
    reopened = Outbox(tmp_path / "mqtt.sqlite")
    assert contents(reopened) == []
    reopened.close()


def test_file_that_breaks_during_a_run_ends_publishing_and_not_the_run(broker, make_sink, tmp_path, caplog):
    """Calls still return; what may be lost is reported at the end."""
    sink = make_sink(broker)
    with sqlite3.connect(tmp_path / "mqtt.sqlite") as other:
        other.execute("DROP TABLE message")
    other.close()
    until(lambda: "publishing has ended" in caplog.text)
    sink.events([track(1)])
    sink.close(0, 0)
    assert "may be lost" in caplog.messages[-1]


def test_file_that_is_replaced_alone_does_not_get_the_messages_of_the_old_log(tmp_path):
    """After a power cut, SQLite would have applied its log to the other queue."""
    path, other = tmp_path / "mqtt.sqlite", tmp_path / "other.sqlite"
    Outbox(other).close()
    outbox = Outbox(path)
    outbox.add([("t", str(number)) for number in range(5)])
    other.replace(path)
    outbox.detach()
    assert contents(outbox) == ["0", "1", "2", "3", "4"]
    reopened = Outbox(path)  # as after a power cut: the first was not closed
    assert contents(reopened) == []
    reopened.add([("t", "new")])
    outbox.detach()  # the log is the other's now
    assert contents(reopened) == ["new"]
    reopened.close()
    outbox.close()
