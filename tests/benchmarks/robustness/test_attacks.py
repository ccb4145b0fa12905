"""Every attack of `benchmarks.robustness.attacks`, and the published table.

Each attack runs with its small count.
"""

import pytest
from galaxy_edge.benchmarks.robustness import table
from galaxy_edge.benchmarks.robustness.attack import find_attacks

ATTACKS = find_attacks()


@pytest.mark.parametrize("name", ATTACKS)
def test_documented_defence_holds(name):
    """The full counts are in the published table.

    The small ones find what a change broke.

    Each runs in a process of its own: the peak memory of this one would count as that of the children it starts.
    """
    row = table.run_apart(name, small=True)
    if "not_possible" in row:
        pytest.skip(row["not_possible"])
    assert row["held"], row["figures"]


def test_published_promises_held():
    """README's promises are this table's."""
    rows = table.read_rows()
    assert rows.keys() <= ATTACKS.keys(), "a row of an attack that is no longer there"
    assert [name for name, row in rows.items() if not row.get("held", True)] == []
    assert {name: row["promise"] for name, row in rows.items()} == {name: ATTACKS[name].promise for name in rows}
    assert table.PAGE.read_text(encoding="utf-8") == table.page(rows)
