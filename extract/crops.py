"""Which part of an image each view shows (pure), and the cutting of it (Pillow).

Four plans. `standard`: view 0 is the evaluation view, short side to 256, centre 224; views 1..A are random resized
crops with a flip half the time, drawn as torchvision's `RandomResizedCrop` draws them, but from a generator keyed by
(seed, record id, view). `squash`: view 0 is the whole image, squashed to 224x224 without keeping its aspect, as the
authors' release evaluates. `squash264`: so is view 0, and the others are drawn in the image squashed to 264x264, as the
release trains; a crop is then a box of the source. `full`: view 0 likewise, the others show 36 to 100 % of the image in
its own shape. Each view is one antialiased resize of just its box, from the decoded image. The release resizes twice,
to 264x264 and from there to 224x224: that is our deviation from it.

View 0 of `standard` has two versions. In the first it is cut like the others, up to 0.74 pixels beside torchvision's
Resize(256) and CenterCrop(224), which round to whole pixels; the second is theirs, pixel for pixel: the whole image is
resized, and the centre is cut from that (`Frame`). Files keep the version they were begun with.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from amnet_common.errors import ConfigError
from amnet_common.seeds import uniforms
from extract.trunk_description import TrunkDescription

ATTEMPTS = 10  # as torchvision: then the largest centred box of an allowed aspect


Finish = Callable[[Image.Image], Image.Image]


class Box(NamedTuple):
    """Describe a view in source pixels, after EXIF orientation. `flip` mirrors the cut left to right."""

    top: float
    left: float
    height: float
    width: float
    flip: bool


class Frame(NamedTuple):
    """Describe a view that is cut from the resized image: the size of that, and the view's corner, in whole pixels."""

    height: int
    width: int
    top: int
    left: int


@dataclass(frozen=True)
class ViewPlan:
    """Describe what the views of every image are; this is part of the collection's spec.

    `view_plan` has the plans by name. Raises ConfigError for a negative number of augmented views.
    """

    augs: int = 10  # the crops of the ten-crop protocol; the paper draws afresh each epoch, a cache cannot
    size: int = 224  # ResNet50's input
    short_side: int | None = 256  # the usual ImageNet evaluation: short side to 256, then the centre; None: squashed
    frame: int | None = None  # side of the squashed image in which crops are drawn; None: in the image as it is
    area: tuple[float, float] = (0.08, 1.0)  # share of the image, torchvision's default
    aspect: tuple[float, float] = (3 / 4, 4 / 3)  # width over height, torchvision's default
    flip: float = 0.5
    name: str = "standard"
    version: int | None = None  # of view 0, from 2; None: the first, which files of older versions have
    interpolation: str = "bilinear"  # or bicubic, where the trunk wants it

    def __post_init__(self) -> None:
        if self.augs < 0:
            raise ConfigError(f"--augs: expected 0 or more augmented views, found {self.augs}")

    @property
    def views(self) -> int:
        """Return V, the number of views of an image."""
        return 1 + self.augs

    @property
    def resampling(self) -> int:
        """Return Pillow's filter."""
        return Image.Resampling[self.interpolation.upper()]

    def as_spec(self) -> dict[str, object]:
        """Return the plan as plain JSON values, without fields that it does not use, with what numbers do not say."""
        values = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items() if v is not None}
        return {"resize": f"pillow-{values.pop('interpolation')}-antialias", **values}


SQUASH = ViewPlan(name="squash", short_side=None)
FULL = replace(SQUASH, name="full", frame=256, area=(0.36, 1.0), aspect=(1.0, 1.0))
PLANS = {plan.name: plan for plan in (ViewPlan(), SQUASH, replace(SQUASH, name="squash264", frame=264), FULL)}


NEWEST = {"standard": 2}  # versions of plans that have several
MOST_PIXELS = 2**24  # of the resized image and its half-resized one: 64 MB; above it a view is cut as its box


def view_plan(name: str, augs: int) -> ViewPlan:
    """Return the plan of that name with `augs` augmented views.

    Raises ConfigError if there is none, or `augs` is negative.
    """
    if name not in PLANS:
        raise ConfigError(f"--plan: expected {', '.join(PLANS)}, found {name!r}")
    return replace(PLANS[name], augs=augs)


def of_trunk(plan: ViewPlan, trunk: TrunkDescription) -> ViewPlan:
    """Return a plan for the input of a trunk: its size, its evaluation view, its interpolation."""
    if trunk.usual:
        return plan
    frame = round(plan.frame * trunk.size / plan.size) if plan.frame else None
    side = trunk.short_side if plan.short_side else None
    return replace(plan, size=trunk.size, short_side=side, frame=frame, interpolation=trunk.interpolation)


def of_version(plan: ViewPlan, version: int | None = None) -> ViewPlan:
    """Return a plan in a version of it; None: in the newest. Raises ConfigError if it has no such version."""
    newest = NEWEST.get(plan.name, 1)
    found = newest if version is None else version
    if not 1 <= found <= newest:
        raise ConfigError(f"--plan-version: expected {' or '.join(map(str, range(1, newest + 1)))} for --plan "
                          f"{plan.name}, found {found}")  # fmt: skip
    return replace(plan, version=found if found > 1 else None)


def version_of(spec: Mapping[str, Any]) -> int | None:
    """Return the version that a plan as a file has it is of; None where this version of amnet does not know it."""
    version = spec.get("version", 1)
    known = range(1, NEWEST.get(str(spec.get("name")), 1) + 1)
    return version if type(version) is int and version in known else None


def plan_views(plan: ViewPlan, seed: int, record_id: str, height: int, width: int) -> list[Box]:
    """Return the V boxes of one image of `height` x `width` pixels, that of the evaluation view first."""
    augmented = (augmented_box(plan, seed, record_id, view, height, width) for view in range(1, plan.views))
    return [evaluation_box(plan, height, width), *augmented]


def evaluation_box(plan: ViewPlan, height: int, width: int) -> Box:
    """Return the box of the evaluation view: short side to `short_side`, centre `size`; or the whole image.

    The first is the same as one centred square of the source, of side min(height, width) * size / short_side; of
    version 2 what its whole pixels show of the source.
    """
    if plan.short_side is None:
        return Box(0, 0, height, width, flip=False)
    if frame := evaluation_frame(plan, height, width):
        y, x = height / frame.height, width / frame.width
        return Box(frame.top * y, frame.left * x, plan.size * y, plan.size * x, flip=False)
    side = min(height, width) * plan.size / plan.short_side
    return Box((height - side) / 2, (width - side) / 2, side, side, flip=False)


def evaluation_frame(plan: ViewPlan, height: int, width: int) -> Frame | None:
    """Return how view 0 is cut by whole pixels, as torchvision's Resize and CenterCrop round; None: by its box."""
    if plan.short_side is None or plan.version is None:
        return None
    longer = int(plan.short_side * max(height, width) / min(height, width))
    h, w = (longer, plan.short_side) if width <= height else (plan.short_side, longer)
    return Frame(h, w, round((h - plan.size) / 2), round((w - plan.size) / 2))


def augmented_box(plan: ViewPlan, seed: int, record_id: str, view: int, height: int, width: int) -> Box:
    """Draw one random resized crop of the image, or of the image squashed to `frame` x `frame`, in source pixels."""
    draw = uniforms("crop", seed, record_id, view)
    if plan.frame is None:
        return _random_box(plan, draw, height, width)
    box, y, x = _random_box(plan, draw, plan.frame, plan.frame), height / plan.frame, width / plan.frame
    return Box(box.top * y, box.left * x, box.height * y, box.width * x, box.flip)


def _random_box(plan: ViewPlan, draw: Iterator[float], height: int, width: int) -> Box:
    """Area uniform, aspect log-uniform, place uniform over whole pixels."""
    flip = next(draw) < plan.flip
    for _ in range(ATTEMPTS):
        area = height * width * _between(*plan.area, next(draw))
        aspect = math.exp(_between(math.log(plan.aspect[0]), math.log(plan.aspect[1]), next(draw)))
        h, w = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < h <= height and 0 < w <= width:
            return Box(_place(height - h, draw), _place(width - w, draw), h, w, flip)
    return _largest_centred_box(plan, height, width, flip)


def _between(low: float, high: float, u: float) -> float:
    return low + (high - low) * u


def _place(room: int, draw: Iterator[float]) -> int:
    return int(next(draw) * (room + 1))


def _largest_centred_box(plan: ViewPlan, height: int, width: int, flip: bool) -> Box:
    w = min(width, max(1, round(height * plan.aspect[1])))
    h = min(height, max(1, round(width / plan.aspect[0])))
    return Box((height - h) // 2, (width - w) // 2, h, w, flip)


def unchanged(view: Image.Image) -> Image.Image:
    """Return a view as it is."""
    return view


def on_image(box: Box, image: Image.Image, height: int, width: int) -> Box:
    """Return a box of a picture of `height` x `width` pixels in the pixels of `image`, which may be a draft of it."""
    if (image.height, image.width) == (height, width):
        return box
    y, x = image.height / height, image.width / width
    bottom, right = min((box.top + box.height) * y, image.height), min((box.left + box.width) * x, image.width)
    return Box(box.top * y, box.left * x, bottom - box.top * y, right - box.left * x, box.flip)


def cut(
    image: Image.Image, box: Box, size: int, finished: Finish = unchanged, resampling: int = Image.Resampling.BILINEAR
) -> np.ndarray:
    """Cut the box out of an image, resized once with an antialiasing filter: (size, size, 3) uint8.

    `finished` makes RGB of the view, if the image is not of that mode.
    """
    corners = (box.left, box.top, box.left + box.width, box.top + box.height)
    view = finished(image.resize((size, size), resampling, box=corners))
    return np.asarray(view.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if box.flip else view)


def cut_frame(
    image: Image.Image, frame: Frame, size: int, finished: Finish = unchanged,
    resampling: int = Image.Resampling.BILINEAR,
) -> np.ndarray:  # fmt: skip
    """Cut a view out of the resized image: (size, size, 3) uint8. `finished` as in `cut`."""
    whole = image.resize((frame.width, frame.height), resampling)
    view = whole.crop((frame.left, frame.top, frame.left + size, frame.top + size))
    return np.asarray(finished(view))


def cut_views(
    image: Image.Image, boxes: list[Box], size: int, finished: Finish = unchanged, frame: Frame | None = None,
    resampling: int = Image.Resampling.BILINEAR,
) -> np.ndarray:  # fmt: skip
    """Cut all views of an image: (V, size, size, 3) uint8. `finished` and `resampling` as in `cut`.

    `frame`: cut view 0 by it, unless the image is so long and narrow that resizing it would take much memory.
    """
    if frame is None or frame.width * (image.height + frame.height) > MOST_PIXELS:
        return np.stack([cut(image, box, size, finished, resampling) for box in boxes])
    rest = (cut(image, box, size, finished, resampling) for box in boxes[1:])
    return np.stack([cut_frame(image, frame, size, finished, resampling), *rest])
