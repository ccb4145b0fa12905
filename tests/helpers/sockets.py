"""Plain sockets to a live page.

Requests that no well-behaved client sends, and a stream as bytes.
"""

import re
import socket

STREAM_REQUEST = b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n"


def connect(live, receive_buffer=None):
    """Connect to a live page.

    `receive_buffer` sets the size of the client's buffer in bytes.
    """
    host, port = live.address.removeprefix("http://").split(":")
    if receive_buffer is None:
        return socket.create_connection((host, int(port)), timeout=30)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.connect((host, int(port)))
    return connection


def exchange(live, request):
    """Send bytes; return everything received until the server closes the connection."""
    with connect(live) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def is_open(connection):
    """Return whether the server has not closed a connection."""
    connection.setblocking(False)
    try:
        return connection.recv(65536) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


def read_images(connection, count):
    """Read `count` JPEGs of a stream; return the bytes received."""
    content, received = b"", 0
    while received < count:
        part = connection.recv(65536)
        assert part, "the stream ended"
        content += part
        received = len(re.findall(rb"\xff\xd8.*?\xff\xd9\r\n--frame", content, re.S))
    return content


def request_stream(live, receive_buffer=None):
    """Connect and ask for the stream.

    Return the connection before its answer is read.
    """
    connection = connect(live, receive_buffer)
    connection.sendall(STREAM_REQUEST)
    return connection


def status_of(connection):
    """Read the beginning of an answer; return its status as bytes."""
    return connection.recv(65536).split()[1]


def stream_is_available(live):
    """Return whether the server opens another stream; it is closed at once."""
    with request_stream(live) as connection:
        return status_of(connection) == b"200"


def open_stream(live):
    """Open a stream, as soon as the server has noticed that earlier viewers are gone."""
    connections = []

    def opened():
        connections.append(request_stream(live))
        if status_of(connections[-1]) == b"200":
            return True
        connections[-1].close()
        return False

    live.until(opened)
    return connections[-1]
