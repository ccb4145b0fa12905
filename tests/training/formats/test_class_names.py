"""Class names in data.yaml.

Every form that programs write, and clear errors for invalid ones.
"""

import sys

import pytest
from galaxy_edge.errors import MissingExtra
from galaxy_edge.training.formats.annotation import LabelError
from galaxy_edge.training.formats.class_names import parse_yaml_names, read_class_names


@pytest.mark.parametrize(
    "text, names",
    [
        ("names: ['galaxy', 'star']\n", ["galaxy", "star"]),
        ("train: images\nnames: [galaxy, star]  # two\nnc: 2\n", ["galaxy", "star"]),
        ("names: [\"a, b\", 'it''s', plain name]\n", ["a, b", "it's", "plain name"]),
        ("names:\n  0: galaxy\n  1: star  # not a galaxy\nnc: 2\n", ["galaxy", "star"]),
        ("names:\n- galaxy\n- 'star # 1'\ntrain: x\n", ["galaxy", "star # 1"]),
        ("names:\n    - galaxy\n\n    - star\n", ["galaxy", "star"]),
        ("names: {1: star, 0: galaxy}\n", ["galaxy", "star"]),
        ("names:\n  [\n    galaxy,\n    star\n  ]\n", ["galaxy", "star"]),
        ('names:\n  0: "Spiralnebel \\u00fc"\n  1: "tab\\tbed"\n', ["Spiralnebel ü", "tab\tbed"]),
        ("# names: [no]\nnames: [one]\n", ["one"]),
        ("names:\n  '0': \"1\"\n  \"1\": '2'\n", ["1", "2"]),  # quoted numbers as keys and as names
        ("names: [no, 1.0, 007, 2026-11-28]\n", ["no", "1.0", "007", "2026-11-28"]),  # spelling is kept
        ("%YAML 1.1\n---\nnames: [galaxy]\n...\n", ["galaxy"]),
        ("names: &all [galaxy]\nalso: *all\n", ["galaxy"]),
        ("{names: [galaxy], nc: 1}\n", ["galaxy"]),
        ("train: images\nnc: 2\n", []),
        ("names:\n", []),
        ("", []),
    ],
)
def test_names_are_read_as_they_are_written(text, names):
    assert parse_yaml_names(text, "data.yaml") == names


@pytest.mark.parametrize(
    "text, message",
    [
        ("names: [galaxy, star\n", "data.yaml: it is not valid YAML: line 2: "),
        ("names:\n  0: galaxy\n  2: star\n", "without a gap"),
        ("names:\n  0: galaxy\n  x: star\n", "without a gap"),
        ('names: ["a\\q"]\n', "it is not valid YAML: line 1: found unknown escape character 'q'"),
        ("names: [galaxy, '']\n", "one of them is empty"),
        ("names: [[galaxy]]\n", "not a list of texts"),
        ("names: galaxy\n", "not a list of texts"),
        ("names: [galaxy, star]\nnc: 3\n", "it has 2 names, but nc, their number, is 3"),
        ("names: [\x07]\n", "it is not valid YAML"),
        ("[" * 5000, "it is not valid YAML: it nests too deeply"),
    ],
)
def test_other_forms_are_refused(text, message):
    with pytest.raises(LabelError, match=message):
        parse_yaml_names(text, "data.yaml")


def test_python_objects_are_not_built():
    """A data.yaml comes from anywhere: its tags must not call anything."""
    assert parse_yaml_names("names: !!python/object/apply:os.system ['false']\n", "data.yaml") == ["false"]


def test_a_byte_order_mark_is_skipped(tmp_path):
    """Windows' editor writes one."""
    (tmp_path / "data.yaml").write_bytes("\ufeffnames: [galaxy]\r\n".encode())
    assert read_class_names(tmp_path) == ["galaxy"]


def test_without_pyyaml_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtra, match=r"galaxy-edge\[train\]"):
        parse_yaml_names("names: [galaxy]\n", "data.yaml")
