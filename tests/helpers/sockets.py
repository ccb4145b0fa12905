"""Plain sockets to a live view: what a client sends that is not well-behaved, and a stream as its bytes."""

import re
import socket


def wire_to(live):
    host, port = live.address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def raw(live, request):
    """Send bytes; return all that comes until the server hangs up."""
    with wire_to(live) as wire:
        wire.sendall(request)
        return b"".join(iter(lambda: wire.recv(65536), b""))


def is_open(wire):
    wire.setblocking(False)
    try:
        return wire.recv(65536) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


def pictures(wire, count):
    """Read so many JPEGs of a stream."""
    content, found = b"", 0
    while found < count:
        part = wire.recv(65536)
        assert part, "the stream ended"
        content += part
        found = len(re.findall(rb"\xff\xd8.*?\xff\xd9\r\n--frame", content, re.S))
    return content


def viewer(live):
    """Watch, as soon as the viewers of earlier tests have left a place."""
    wires = []

    def let_in():
        wires.append(wire_to(live))
        wires[-1].sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        if wires[-1].recv(65536).split()[1] == b"200":
            return True
        wires[-1].close()
        return False

    live.until(let_in)
    return wires[-1]
