"""What waits for the broker: its cap, a disk that takes nothing, a file that is damaged or breaks."""

import sqlite3

import pytest

pytest.importorskip("paho.mqtt.client", reason="needs the mqtt extra")
from galaxy_edge.runtime.mqtt.outbox import Outbox
from helpers.tracks import track, until


def test_there_is_a_cap_and_the_oldest_go(tmp_path):
    box = Outbox(tmp_path / "box.sqlite", most=5)
    box.add([("t", str(number)) for number in range(8)])
    assert [message.content for message in box.first(10)] == ["3", "4", "5", "6", "7"] and box.lost == 3
    first, second, *_ = box.first(10)
    assert [message.content for message in box.first(2, after=first.place)] == ["4", "5"]
    box.done([second.place])
    box.close()
    again = Outbox(tmp_path / "box.sqlite")
    assert [message.content for message in again.first(10)] == ["3", "5", "6", "7"]
    again.close()


def test_where_the_disk_takes_nothing_messages_wait_in_memory(tmp_path):
    box = Outbox(tmp_path / "box.sqlite", most=3)
    other = sqlite3.connect(tmp_path / "box.sqlite", isolation_level=None)
    box._base.execute("PRAGMA busy_timeout = 0")
    other.execute("BEGIN EXCLUSIVE")
    box.add([("t", str(number)) for number in range(5)])
    other.execute("ROLLBACK")
    assert box.lost == 2
    box.add([])
    assert [message.content for message in box.first(10)] == ["2", "3", "4"]
    other.close()
    box.close()


def test_a_damaged_file_of_what_waits_is_set_aside_and_named(broker, listener, publisher, tmp_path):
    box = tmp_path / "mqtt.sqlite"
    Outbox(box).close()
    box.write_bytes(box.read_bytes()[:50] + b"no more of it" * 500)
    one = publisher(broker)
    one.events([track(1, ended=True)])
    until(lambda: len(listener.events()) == 2)
    aside = next(tmp_path.glob("mqtt-unreadable-*.sqlite"))
    assert one.told == [f"{box} was damaged; it is now {aside}, and a new one was begun"]


def test_a_file_of_what_waits_that_breaks_meanwhile_ends_the_publishing_and_not_the_run(broker, publisher):
    one = publisher(broker)
    one._outbox._base.execute("DROP TABLE message")
    until(lambda: any("publishing has ended" in line for line in one.told))
    one.events([track(1)])
    one.close(0, 0)
    assert "may be lost" in one.told[-1]
