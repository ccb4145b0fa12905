"""Class names as data.yaml has them, compared with a real YAML reader."""

import pytest
from galaxy_edge.training.formats.annotation import LabelError
from galaxy_edge.training.formats.class_names import parse_yaml_names

TEXTS = [
    "names: ['galaxy', 'star']\n",
    "train: images\nnames: [galaxy, star]  # two\nnc: 2\n",
    "names: [\"a, b\", 'it''s', plain name]\n",
    "names:\n  0: galaxy\n  1: star  # not a galaxy\nnc: 2\n",
    "names:\n- galaxy\n- 'star # 1'\ntrain: x\n",
    "names:\n    - galaxy\n\n    - star\n",
    "names: {0: galaxy, 1: star}\n",
    "names:\n  [\n    galaxy,\n    star\n  ]\n",
    'names:\n  0: "Spiralnebel \\u00fc"\n  1: "tab\\tbed"\n',
    "# names: [no]\nnames: [one]\n",
]


@pytest.mark.parametrize("text", TEXTS)
def test_names_are_what_a_yaml_reader_finds(text):
    yaml = pytest.importorskip("yaml", reason="comes with the train extra")
    wanted = yaml.safe_load(text)["names"]
    assert parse_yaml_names(text, "data.yaml") == (list(wanted.values()) if isinstance(wanted, dict) else wanted)


def test_a_file_without_names_has_none():
    assert parse_yaml_names("train: images\nnc: 2\n", "data.yaml") == []


@pytest.mark.parametrize(
    "text, message",
    [
        ("names: [galaxy, star\n", "does not end"),
        ("names:\n  0: galaxy\n  2: star\n", "without a gap"),
        ('names: ["a\\q"]\n', "cannot be read"),
    ],
)
def test_other_forms_are_refused(text, message):
    with pytest.raises(LabelError, match=message):
        parse_yaml_names(text, "data.yaml")
