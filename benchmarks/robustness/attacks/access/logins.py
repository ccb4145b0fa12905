"""Guess the token of the live page at full speed.

The guesses come from one address and from a whole network of IPv6.
"""

from __future__ import annotations

from pathlib import Path

from .....runtime.web.token import Token
from ...attack import Attack, Outcome

MAX_COMPARED = 40


def run(count: int, folder: Path) -> Outcome:
    """Guess `count` tokens, a thousand a second.

    Half of them come from addresses that change.
    """
    seconds = 0.0
    token = Token("correct horse battery staple", folder / "sessions.json")
    token.failures = type(token.failures)(clock=lambda: seconds)
    compared = {"ipv4": 0, "ipv6": 0}
    admitted = 0
    for number in range(count):
        seconds = number / 1000
        family = ("ipv4", "ipv6")[number % 2]
        client = "192.0.2.9" if family == "ipv4" else f"2001:db8::{number % 65536:x}"
        compared[family] += token.failures.wait(client) == 0
        admitted += token.attempt(f"guess {number}", client)[0]
    ended = token.sessions.begin("192.0.2.9")
    token.sessions.end()
    admitted += token.session({"cookie": f"galaxy-edge={ended}"}) is not None
    figures = {"guesses": token.failures.count, "compared_ipv4": compared["ipv4"], "compared_ipv6": compared["ipv6"]}
    held = not admitted and token.failures.count == count and max(compared.values()) <= MAX_COMPARED
    return Outcome({**figures, "admitted": admitted}, held)


ATTACK = Attack(
    promise="Failed logins are counted and slowed, and an ended session gives no access.",
    method="{count} guesses of the token, a thousand per second, from one IPv4 address and one IPv6 network",
    run=run,
    count=200_000,
    small_count=20_000,
)
