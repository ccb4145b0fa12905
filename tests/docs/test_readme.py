"""README.md and the guides that it leads to, as a new user follows them.

Every command in them is run, in order, in one folder.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from galaxy_edge.benchmarks.accuracy.readme_figures import with_current_figures
from helpers.images import encode, render
from helpers.paths import ROOT

PAGES = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in (
        "README.md",
        "docs/run.md",
        "docs/live-page.md",
        "docs/training.md",
        "docs/benchmarks.md",
        "docs/report-a-frame.md",
    )
}
TEXT = PAGES["README.md"]
COMMANDS = list(dict.fromkeys(
    line
    for page in PAGES.values()
    for block in re.findall(r"^```sh\n(.*?)^```", page, re.M | re.S)
    for line in block.splitlines()
    if line.strip()
))  # fmt: skip
GUIDES = sorted({ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")})
# Run elsewhere: `make demo` in test_install.py; `make test` is what runs this; its environment is the pip install.
ELSEWHERE = {"make demo", "make test"}
# Run by tests/cli/test_sample_to_run.py, and for minutes, which the others are not.
TRIAL = ("--data sample", "trial")


def test_the_commands_that_matter_are_in_it():
    verbs = {" ".join(shlex.split(line)[:2]) for line in COMMANDS}
    assert {
        "make demo",
        "make test",
        "galaxy-edge train",
        "galaxy-edge export",
        "galaxy-edge run",
        "galaxy-edge eval",
        "galaxy-edge bench",
        "galaxy-edge devices",
    } <= verbs


@pytest.mark.slow
def test_every_command_works(small_data, tmp_path):
    pytest.importorskip("official", reason="needs the detector extra")
    (tmp_path / "galaxy-data").symlink_to(small_data)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "sky.png").write_bytes(encode(render([(60, 40, 12)], 160, 120)))
    # The commands are run as they stand, only for a moment: the same options, given by the environment.
    short = {"EPOCHS": "1", "IMAGES": "16"}
    env = {
        **os.environ,
        **{f"GALAXY_EDGE_TRAIN_DETECTOR_{key}": value for key, value in short.items()},
        "GALAXY_EDGE_TRAIN_CLASSIFIER_EPOCHS": "1",
        "GALAXY_EDGE_EXPORT_FORCE": "1",
        "GALAXY_EDGE_RUN_MAX_FRAMES": "40",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    for line in COMMANDS:
        if line in ELSEWHERE or line.startswith("pip install") or any(word in line for word in TRIAL):
            continue
        done = subprocess.run(line, shell=True, capture_output=True, text=True, cwd=tmp_path, env=env, timeout=900)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        if "--json" in line and "eval" in line:
            json.loads(done.stdout)


def test_the_extras_and_constraints_it_names_exist():
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for line in COMMANDS:
        if line.startswith("pip install"):
            assert (ROOT / re.search(r"-c (\S+)", line)[1]).is_file()
            assert set(re.search(r"\[(.*?)\]", line)[1].split(",")) <= set(extras)


def test_its_example_keeps_the_contract():
    schema = json.loads((ROOT / "runtime" / "events" / "frame.schema.json").read_text())
    (example,) = re.findall(r"^```json\n(.*?)^```", PAGES["docs/run.md"], re.M | re.S)
    jsonschema.validate(json.loads(example), schema)


def test_its_figures_are_those_of_the_shipped_bundles():
    for name in ("README.md", "docs/benchmarks.md"):
        page = PAGES[name]
        assert "<!-- " in page and with_current_figures(page) == page, (
            "run python -m galaxy_edge.benchmarks.accuracy.readme_figures"
        )


def test_the_instructions_of_a_raw_frame_are_those_that_were_counted():
    counted = json.loads((ROOT / "benchmarks" / "reference" / "instructions.json").read_text())["cortex-a72"]
    inference = counted["preprocess"] + counted["inference"] + counted["decode"]
    values = (counted["front_end"], counted["windows"], inference, counted["galaxy-classifier"])
    text = " ".join(PAGES["docs/benchmarks.md"].split())
    sentence = "developing {:.1f}, the search for extended light {:.1f}, one inference with its input and output {:.1f}, and one of the classifier {:.1f}"
    assert sentence.format(*values) in text


def test_the_readme_stays_short():
    """A page that nobody reads to its end helps nobody."""
    assert len(TEXT.splitlines()) <= 150
    paragraphs = [block for block in TEXT.split("\n\n") if not block.startswith(("```", "|", "<!--", "#", "*"))]
    assert [block for block in paragraphs if len(block.splitlines()) > 5] == []


def test_its_pictures_are_small_and_one_is_animated():
    pictures = re.findall(r"!\[[^\]]+\]\((docs/[^)]+)\)", TEXT)
    assert pictures == ["docs/demo.webp", "docs/demo.jpg"]
    assert all((ROOT / name).stat().st_size < 1_500_000 for name in pictures)
    assert b"ANIM" in (ROOT / "docs/demo.webp").read_bytes()[:64]


def test_its_links_lead_somewhere():
    missing = [
        (page.name, link)
        for page in GUIDES
        for link in re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text(encoding="utf-8"))
        if not (page.parent / link).exists()
    ]
    assert missing == []
