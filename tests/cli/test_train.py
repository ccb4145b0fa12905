"""`train`: renamed options keep their old names, hidden from the help."""

import pytest
from click.testing import CliRunner
from galaxy_edge.cli.main import cli


class TrainingReached(Exception):
    """Raised in place of the training."""


@pytest.fixture
def call_arguments(tmp_path, monkeypatch):
    """Return a function that runs `train detector` up to the training.

    The function returns the settings and whether invalid labels are left out.
    """
    pytest.importorskip("official", reason="needs the detector extra")
    weights = tmp_path / "v2.npz"
    weights.touch()

    def parse(*options):
        reached = []

        def train(data, out, settings, resume, report, group, skip_invalid):
            reached.append((settings, skip_invalid))
            raise TrainingReached

        monkeypatch.setattr("galaxy_edge.training.detector.fit.train", train)
        arguments = ["train", "detector", "--data", tmp_path, "--out", tmp_path / "run", *options]
        result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
        assert isinstance(result.exception, TrainingReached), result.output
        return reached[0]

    parse.weights = weights
    return parse


@pytest.mark.parametrize("name", ["--distill-from", "--imitate"])
def test_the_network_to_distil_from_is_given_by_the_new_or_the_old_name(call_arguments, name):
    """Scripts written for version 0.1.0 use the old name.

    The setting in run.json keeps its key.
    """
    settings, _ = call_arguments(name, call_arguments.weights)
    assert settings.imitate == call_arguments.weights


@pytest.mark.parametrize("name", ["--skip-invalid", "--skip-bad"])
def test_invalid_labels_are_left_out_by_the_new_or_the_old_name(call_arguments, name):
    """Either name leaves invalid labels out, with a warning.

    Without it nothing may be left out.
    """
    assert call_arguments()[1] is False
    assert call_arguments(name)[1] is True


def test_old_names_are_not_in_the_help():
    """Only one name of each option is documented."""
    text = CliRunner().invoke(cli, ["train", "detector", "--help"]).output
    assert "--distill-from" in text and "--skip-invalid" in text
    assert "--imitate" not in text and "--skip-bad" not in text


def test_the_blocks_of_our_networks_can_be_chosen(call_arguments):
    settings, _ = call_arguments("--stage-blocks", "1", "2", "0", "--expansions", "2", "2.5", "3")
    assert settings.stage_blocks == (1, 2, 0) and settings.expansions == (2.0, 2.5, 3.0)


@pytest.mark.parametrize("option", [("--stage-blocks", "1", "2", "1"), ("--expansions", "2", "2", "3")])
def test_blocks_of_another_kind_of_network_are_refused(tmp_path, option):
    pytest.importorskip("official", reason="needs the detector extra")
    arguments = ["train", "detector", "--data", str(tmp_path), "--out", str(tmp_path / "run"), "--preset", "stock"]
    result = CliRunner().invoke(cli, [*arguments, *option])
    assert result.exit_code == 2 and "are of the networks quick, nano and base" in result.output


@pytest.mark.parametrize(
    "options", [("--scenes", "deep_field=0.2", "--scenes", "stars=0"), ("--scenes", "stars=0", "--deep-fields", "0.2")]
)
def test_shares_of_scenes_are_given_by_the_new_or_the_old_name(call_arguments, options):
    settings, _ = call_arguments(*options)
    assert dict(settings.scenes) == {"deep_field": 0.2, "stars": 0.0}


@pytest.mark.parametrize("wrong", ["deep_field", "deep_field=much", "=0.2", "galaxies=0.2", "stars=1.2"])
def test_a_wrong_share_of_scenes_is_refused(tmp_path, wrong):
    pytest.importorskip("official", reason="needs the detector extra")
    arguments = ["train", "detector", "--data", str(tmp_path), "--out", str(tmp_path / "run"), "--scenes", wrong]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2 and ("KIND=SHARE" in result.output or "scene" in result.output)


def test_the_help_names_every_kind_of_scene_with_its_usual_share():
    from galaxy_edge.training.scenes.mixture import MIXTURE

    shown = " ".join(CliRunner().invoke(cli, ["train", "detector", "--help"]).output.split())
    assert [kind for kind, share in MIXTURE.items() if f"{kind} {share:.2f}" not in shown] == []


@pytest.mark.parametrize("seed", ["-1", "4294967296"])
def test_a_seed_of_the_split_that_no_other_command_takes_is_refused(tmp_path, seed):
    arguments = ["train", "classifier", "--data", str(tmp_path), "--out", str(tmp_path / "run"), "--split-seed", seed]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2 and "Invalid value for '--split-seed'" in result.output


@pytest.mark.parametrize(("options", "votes", "epochs"), [([], False, 180), (["--votes", "--epochs", "3"], True, 3)])
def test_votes_are_trained_on_only_if_asked_for(tmp_path, monkeypatch, options, votes, epochs):
    pytest.importorskip("tensorflow", reason="needs the train extra")
    reached = []

    def train(data, out, recipe, **others):
        reached.append(recipe)
        raise TrainingReached

    monkeypatch.setattr("galaxy_edge.training.study.runs.train", train)
    arguments = ["train", "classifier", "--data", str(tmp_path), "--out", str(tmp_path / "run"), *options]
    CliRunner().invoke(cli, arguments)
    assert [(recipe.votes, recipe.epochs) for recipe in reached] == [(votes, epochs)]


@pytest.mark.parametrize("words", [
    ("train", "detector", "--expansions", "nan", "2", "2"), ("train", "detector", "--learning-rate", "nan"),
    ("train", "detector", "--raw-share", "nan"), ("export", "run", "--min-precision", "nan"),
])  # fmt: skip
def test_numbers_that_are_not_finite_are_refused(words, tmp_path):
    """Every comparison with a limit lets nan through."""
    where = () if words[0] == "export" else ("--data", str(tmp_path))
    result = CliRunner().invoke(cli, [*words, *where, "--out", str(tmp_path / "out")])
    assert result.exit_code == 2 and "is not a finite number" in result.output
