"""A reader of standard output or error that has stopped to read."""

import os
import subprocess
import sys

PROGRAM = """
import signal, sys, threading, time
from galaxy_edge.cli.terminal import quick_exit
signal.signal(signal.SIGTERM, lambda *_: None)
def stop():
    time.sleep(0.3)
    quick_exit.discard_unread_output(0.2)
threading.Thread(target=stop).start()
for _ in range(20000):
    sys.stdout.write("line\\n" * 10)
    sys.stdout.flush()
print(quick_exit.discarded, file=sys.stderr)
"""


def test_a_process_whose_output_nobody_reads_can_end():
    """A run that waits for a pipe ends on SIGTERM and closes its files.

    It once did not, and was killed.
    """
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        assert process.wait(60) == 0 and process.stderr.read() == "['standard output']\n"


def test_a_slow_reader_gets_everything():
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        assert process.stdout.read() == "line\n" * 200_000
        assert process.wait(60) == 0 and process.stderr.read() == "[]\n"
