"""Recipes: invalid values, records as JSON, and outputs of the networks built."""

import json
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from galaxy_edge.errors import UserError
from galaxy_edge.training.augmentation.presets import AUGMENTATIONS
from galaxy_edge.training.classifier.balancing import STRATEGIES
from galaxy_edge.training.classifier.recipe import (
    RECIPES,
    REPORT,
    SCRATCH,
    Recipe,
    RecipeError,
    build,
    find_recipe,
    with_network,
)
from galaxy_edge.training.classifier.small_network import SmallNetwork, cost


@pytest.mark.parametrize(("name", "value"), [
    ("size", 8), ("size", 97), ("epochs", 0), ("batch", 1), ("factor", 1.0), ("patience", 0), ("stop_after", 0),
    ("decay", -0.1), ("average", 1.0), ("mixup", -1), ("smoothing", 0.6), ("cached", -1), ("margin", -0.1),
    ("views", "upside"), ("balance", "half"), ("schedule", "linear"), ("rates", ()), ("rates", (-1.0,)),
    ("rates", (1e-3, 0.0)),
])  # fmt: skip
def test_settings_out_of_range_are_named(name, value):
    with pytest.raises(RecipeError, match=name) as caught:
        Recipe(**{name: value})
    assert isinstance(caught.value, UserError) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "known"), [("views", AUGMENTATIONS), ("balance", STRATEGIES)])
def test_every_known_setting_is_accepted(name, known):
    for value in known:
        assert getattr(Recipe(**{name: value}), name) == value


def test_unknown_recipe_lists_the_known_ones():
    assert find_recipe("small") is RECIPES["small"]
    with pytest.raises(RecipeError, match=r"'medium'; known: small, nano, base, telescopes, simple, bigger"):
        find_recipe("medium")
    with pytest.raises(RecipeError, match="no network 'medium'"):
        build(Recipe(network="medium"), 9)


def test_nano_and_base_are_a_smaller_and_a_larger_network():
    """Nano has at most two million multiply-adds."""
    macs = [
        cost(SmallNetwork.from_dict({**RECIPES[name].spec, "size": RECIPES[name].size}), 9).macs
        for name in ("nano", "small", "base")
    ]
    assert macs[0] <= 2_000_000 and macs[0] * 3 < macs[1] < macs[2] / 2


def test_picked_network_of_a_search_is_used_unchanged(tmp_path):
    path = tmp_path / "picked.json"
    spec = {**RECIPES["small"].spec, "stem_channels": 8}
    path.write_text(json.dumps({"network": {**spec, "size": 60}, "seed": 3}))
    assert with_network(RECIPES["small"], path) == replace(RECIPES["small"], size=60, spec=spec)
    with pytest.raises(RecipeError, match="recipe is scratch"):
        with_network(RECIPES["scratch"], path)
    wrong = [{**spec, **change} for change in ({"size": "a"}, {"stem_kernel": 3.0}, {"stages": 3}, {"teacher": "x"})]
    for content in ("{}", "no JSON", "[]", '{"network": 3}', *(json.dumps({"network": network}) for network in wrong)):
        path.write_text(content)
        with pytest.raises(RecipeError, match=r"is not the picked\.json"):
            with_network(RECIPES["small"], path)
    with pytest.raises(RecipeError, match=r"is not the picked\.json"):
        with_network(RECIPES["small"], tmp_path / "nothing.json")


@pytest.mark.parametrize("name", RECIPES)
def test_record_of_a_recipe_survives_json(name):
    # A run is resumed only if its settings are those of its record: nothing may change on the way through JSON.
    plain = RECIPES[name].to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert Recipe(**{**plain, "rates": tuple(plain["rates"])}) == RECIPES[name]


def test_recipes_cannot_be_changed_by_their_users():
    with pytest.raises(FrozenInstanceError):
        RECIPES["small"].epochs = 1
    Recipe().spec["pooling"] = "both"
    assert Recipe().spec["pooling"] == "average"


@pytest.mark.parametrize("name", [*SCRATCH, "scratch", "optimised", "vgg_features", "vgg_block5"])
def test_recipes_of_the_report_train_alike(name):
    # They are compared with each other: besides the network, only what a pretrained base needs may differ.
    differing = {key for key, value in RECIPES[name].to_dict().items() if value != REPORT.to_dict()[key]}
    assert differing <= {"network"} | ({"cached", "rates"} if name.startswith("vgg") else set())
    assert RECIPES[name].decay == RECIPES[name].average == RECIPES[name].mixup == 0


@pytest.mark.parametrize("name", [name for name in RECIPES if not name.startswith("vgg_")])
def test_networks_take_levels_and_give_logits(name):
    pytest.importorskip("keras")
    # The optimised network is wide at full resolution: the smallest images that a recipe may have.
    recipe = replace(RECIPES[name], size=48 if RECIPES[name].network == "small" else 32)
    network = build(recipe, 7)
    assert network.input_shape == (None, recipe.size, recipe.size, 3)
    assert network.layers[-1].name == "logits" and network.output_shape == (None, 7)
    levels = np.random.default_rng(1).integers(0, 256, (2, recipe.size, recipe.size, 3)).astype(np.float32)
    logits = np.asarray(network(levels))
    assert np.isfinite(logits).all() and np.abs(logits).max() < 100  # levels are scaled within
    assert (np.abs(logits.sum(axis=1) - 1) > 1e-3).any()  # no softmax inside


def test_transfer_learning_trains_what_the_name_says():
    pytest.importorskip("keras")
    trained = {}
    for name in ("vgg_features", "vgg_block5"):
        network = build(replace(RECIPES[name], size=32), 7, weights=None)
        assert network.layers[-1].name == "logits" and network.output_shape == (None, 7)
        trained[name] = {layer.name for layer in network.layers if layer.trainable_variables}
    assert trained["vgg_features"] == {"dense", "logits"}
    assert trained["vgg_block5"] == {"dense", "logits", "block5_conv1", "block5_conv2", "block5_conv3"}
