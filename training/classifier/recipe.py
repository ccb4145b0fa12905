"""Recipes: which network is trained, with which augmentation, and how.

The names are those of ``galaxy-edge train classifier --recipe NAME``. Recipes of the report keep its choices (Adam,
EarlyStopping and ReduceLROnPlateau of section 2.4, augmentation and balancing of section 2.3); ``small`` is the network
that is shipped, ``telescopes`` continues its training (``--start``) on imitations of other telescopes' views; ``nano``
and ``base`` are a smaller and a larger network of its kind.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UserError
from ..augmentation.presets import AUGMENTATIONS
from .balancing import STRATEGIES
from .small_network import NetworkError, SmallNetwork
from .small_network import build as build_small

if TYPE_CHECKING:
    import keras


SMALL: dict[str, Any] = {
    "stem_channels": 16,
    "stem_kernel": 5,
    "stem_stride": 2,
    "stages": [
        {"width": 28, "depth": 1, "kernel": 3, "kind": "plain"},
        {"width": 64, "depth": 2, "kernel": 3, "kind": "mixed"},
        {"width": 128, "depth": 1, "kernel": 3, "kind": "separable"},
    ],
    "pooling": "average",
    "dense": 0,
    "dropout": 0.2,
}
"""The network that is shipped, without its input size: see `small_network.SmallNetwork`."""

NANO: dict[str, Any] = SMALL | {
    "stem_channels": 8,
    "stem_kernel": 3,
    "stages": [
        {"width": 16, "depth": 1, "kernel": 3, "kind": "mixed"},
        {"width": 48, "depth": 2, "kernel": 3, "kind": "mixed"},
        {"width": 128, "depth": 1, "kernel": 3, "kind": "separable"},
    ],
}
"""A quarter of `SMALL`'s multiply-adds, at 64 px."""

BASE: dict[str, Any] = SMALL | {
    "stem_channels": 20,
    "stages": [
        {"width": 36, "depth": 1, "kernel": 3, "kind": "plain"},
        {"width": 72, "depth": 2, "kernel": 3, "kind": "mixed"},
        {"width": 144, "depth": 1, "kernel": 3, "kind": "separable"},
    ],
}
"""Two and a half times `SMALL`'s multiply-adds, at 96 px."""


class RecipeError(UserError):
    """A recipe that does not exist or has an invalid value.

    The message says which values are valid.
    """

    exit_code = 2


@dataclass(frozen=True)
class Recipe:
    """How a network is built and trained.

    Attributes:
        network: name of the network, see `build`.
        spec: parameters of the network that its name does not determine.
        size: side of its input in pixels.
        views: augmentation: a name in `augmentation.presets.AUGMENTATIONS`.
        balance: how classes are balanced: a name in `balancing.STRATEGIES`.
        attributes: weight of a galaxy's attributes in the loss, see `attributes`; 0 for none.
        votes: whether images with the votes of volunteers are trained on these as soft targets, in place of their class
            or coarse group, and count by the share of their class in the last layer's fit.
        unnamed: whether images without a class are trained on too: by coarse group, attributes or soft targets.
        epochs, batch: maximum number of epochs, each of as many images as have a class; images per step.
        schedule: ``cycles`` of cosine form, or ``plateau``: the rate is multiplied by `factor` after `patience`
            epochs without a better validation loss, and training ends after `stop_after` of them with the best weights.
        rates: peak learning rate of each cycle, all of equal length; or the initial rate.
        decay: weight decay, except of biases and normalisation (AdamW; 0 is Adam).
        average: decay of the running average of the weights, 0 for none.
        mixup, smoothing: Beta parameter of mixup, label smoothing; neither is used in the last cycle.
        refit: whether the last layer is fitted to the classes after training, see `last_layer`.
        cached: for a network with a frozen part, the number of views per image whose features are cached.
        margin: total share of a box's longer side that is added. At 0.3 boxed galaxies fill 0.75 of the crop, as those
            of EFIGI fill their images (medians 0.72 smooth, 0.74 disk, 0.77 spiral, 0.85 edge-on, by one estimate
            of the ellipse of 90 % of the light for both).
    """

    network: str = "small"
    spec: dict[str, Any] = field(default_factory=lambda: dict(SMALL))
    size: int = 69
    views: str = "sky"
    balance: str = "root"
    attributes: float = 1.0
    votes: bool = False
    unnamed: bool = True
    epochs: int = 180
    batch: int = 64
    schedule: str = "cycles"
    rates: tuple[float, ...] = (3e-3, 2e-3)
    factor: float = 0.2
    patience: int = 5
    stop_after: int = 12
    decay: float = 0.02
    average: float = 0.995
    mixup: float = 0.2
    smoothing: float = 0.05
    refit: bool = True
    cached: int = 0
    margin: float = 0.3

    def __post_init__(self) -> None:
        bounds = {
            "size": (32, 96),
            "epochs": (1, 10_000),
            "batch": (2, 4096),
            "factor": (0.01, 0.99),
            "patience": (1, 1000),
            "stop_after": (1, 1000),
            "decay": (0, 1),
            "average": (0, 0.99999),
            "mixup": (0, 10),
            "smoothing": (0, 0.5),
            "cached": (0, 64),
            "attributes": (0, 100),
            "margin": (0, 3),
        }
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise RecipeError(f"{name} is {getattr(self, name)}; it must lie in {low}..{high}")
        choices = {"views": tuple(AUGMENTATIONS), "balance": STRATEGIES, "schedule": ("cycles", "plateau")}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise RecipeError(f"{name} is '{getattr(self, name)}'; it must be one of {', '.join(known)}")
        if not self.rates or not all(0 < rate <= 1 for rate in self.rates):
            raise RecipeError(f"rates is {self.rates}; it must hold learning rates in 0..1, one per cycle")

    @property
    def pretrained(self) -> bool:
        """Whether the network starts from weights of another task."""
        return self.network.startswith(("vgg_", "mobilenet"))

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values, for a run's record."""
        return asdict(self) | {"rates": list(self.rates)}


REPORT = Recipe(
    views="report",
    balance="partial",
    attributes=0.0,
    unnamed=False,
    epochs=60,
    batch=64,
    schedule="plateau",
    rates=(1e-3,),
    decay=0.0,
    average=0.0,
    mixup=0.0,
    smoothing=0.0,
    refit=False,
)
"""Common values of the report's recipes. Of its strategies against imbalance, it chose partial re-balancing with
weights."""

SCRATCH = (
    "simple",
    "bigger",
    "dropout",
    "l1l2",
    "batch_norm",
    "dropout+l1l2",
    "dropout+batch_norm",
    "l1l2+batch_norm",
    "dropout+l1l2+batch_norm",
)
"""The networks of section 2.5: two without regularisation and seven combinations of regularisations."""

RECIPES: dict[str, Recipe] = {
    "small": Recipe(),
    "nano": Recipe(spec=dict(NANO), size=64, views="telescopes", mixup=0.0, smoothing=0.0),
    "base": Recipe(spec=dict(BASE), size=96, views="telescopes", mixup=0.0, smoothing=0.0),
    "telescopes": Recipe(views="telescopes", rates=(1e-3,), mixup=0.0, smoothing=0.0),
    **{name: replace(REPORT, network=name) for name in SCRATCH},
    "scratch": replace(REPORT, network="scratch"),
    "optimised": replace(REPORT, network="optimised"),
    "vgg_features": replace(REPORT, network="vgg_features", cached=3, rates=(2e-4,)),
    "vgg_block5": replace(REPORT, network="vgg_block5", cached=3, rates=(1e-4,)),
    "mobilenet": Recipe(network="mobilenet", spec={"width": 1.0}, size=96, epochs=40, rates=(5e-4,), average=0.99),
}
"""All recipes, by name."""


def find_recipe(name: str) -> Recipe:
    """Return a recipe by name.

    Raises:
        RecipeError: there is no recipe of this name.
    """
    if name not in RECIPES:
        raise RecipeError(f"there is no recipe '{name}'; known: {', '.join(RECIPES)}")
    return RECIPES[name]


def with_network(recipe: Recipe, path: Path) -> Recipe:
    """Return a recipe with the network that a search picked.

    Raises:
        RecipeError: the file is not a search's ``picked.json``, or the recipe is not ``small``.
    """
    if recipe.network != "small":
        raise RecipeError(f"the network of this recipe is {recipe.network}: only that of 'small' can be chosen")
    try:
        values = dict(json.loads(path.read_text(encoding="utf-8"))["network"])
        spec = SmallNetwork.from_dict({"size": recipe.size, **values}).to_dict()
    except (OSError, ValueError, KeyError, TypeError, NetworkError) as error:
        raise RecipeError(f"{path} is not the picked.json of a search: {error}") from None
    return replace(recipe, size=spec.pop("size"), spec=spec)


def with_width(recipe: Recipe, width: float) -> Recipe:
    """Return a recipe with another channel multiplier.

    Raises:
        RecipeError: the recipe's network has no multiplier, or it is out of range.
    """
    if "width" not in recipe.spec:
        raise RecipeError(f"the network of this recipe, {recipe.network}, has no width; mobilenet has one")
    if not 0.05 <= width <= 2:
        raise RecipeError(f"width is {width}; it must lie in 0.05..2")
    return replace(recipe, spec=recipe.spec | {"width": width})


def build(recipe: Recipe, classes: int, weights: Any = None) -> keras.Model:
    """Build a recipe's network, from images to logits.

    Its input is (N, size, size, 3) levels 0..255, its output (N, classes).

    Args:
        weights: pretrained weights, see `vgg.vgg16` and `mobilenet.classifier.mobilenet`.
    """
    if recipe.network.startswith("vgg_"):
        from .vgg import vgg16

        return vgg16(recipe.size, classes, weights, {"vgg_features": "none", "vgg_block5": "block5"}[recipe.network])
    if recipe.network == "mobilenet":
        from ..mobilenet.classifier import mobilenet

        return mobilenet(recipe.size, classes, weights, **recipe.spec)
    if recipe.network == "small":
        return build_small(SmallNetwork.from_dict({**recipe.spec, "size": recipe.size}), classes)
    from .report_networks import BUILDERS

    builders: dict[str, Callable[[int, int], keras.Model]] = BUILDERS
    if recipe.network not in builders:
        raise RecipeError(f"there is no network '{recipe.network}'; known: {', '.join(builders)}")
    return builders[recipe.network](recipe.size, classes)
