"""The summary at the end of a run."""

from collections import Counter

from galaxy_edge.runtime.monitoring.live_table import print_summary
from galaxy_edge.runtime.monitoring.run_stats import RunStats


def test_counts_follow_the_class_names_that_they_belong_to(capsys):
    """The table is one line, even with commas in names and over 80 columns."""
    stats = RunStats(frames=1, events=12)
    stats.classes = Counter({"galaxy, class uncertain": 5, "spiral galaxy": 4, "edge_on_rounded_bulge": 3})
    print_summary(stats, {}, err=False)
    assert capsys.readouterr().out.splitlines()[-1] == (
        "1 frame, 12 galaxies: galaxy, class uncertain (5); spiral galaxy (4); edge_on_rounded_bulge (3)"
    )
