"""Images in memory to features in memory, by the very cutting and trunk of `amnet-extract`: no collection, no disk."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from amnet_common.collection.writer import ImageFacts
from amnet_common.errors import ConfigError, ImageError
from amnet_common.images import Budget, Limits, decoded, ignored_pillow_warnings, picture_of, read_source
from extract.compute import Hardware, choose_compute
from extract.crops import ViewPlan, of_trunk, of_version, view_plan
from extract.frozen_trunk import FrozenTrunk
from extract.makers import described
from extract.other_weights import load_other_weights
from extract.pipeline import Cut, in_batches, views_of
from extract.room import find_room
from extract.trunk_description import USUAL
from extract.weights import load_weights

AnImage = str | os.PathLike[str] | Image.Image | np.ndarray
LIMITS = Limits()


def extract_features(
    images: Sequence[AnImage],
    weights: str | None = None,
    augs: int = 0,
    plan: str = "standard",
    device: str = "auto",
    *,
    seed: int = 0,
    ids: Sequence[str] | None = None,
    trunk: str = USUAL,
    variant: str | None = None,
) -> np.ndarray:
    """Compute features of images as `amnet-extract` does, without a collection: (n, 1 + augs, 14, 14, 1024) float32.

    `images`: paths, Pillow images, or uint8 arrays (H, W, 3) of RGB. Files are read as `amnet-extract` reads them; a
    Pillow image is set upright by its EXIF orientation, converted to sRGB by its profile and laid over white if it is
    transparent; an array is sRGB as it stands. `weights` and `plan` are those of the command: a name or a file, by
    default `$AMNET_WEIGHTS` or imagenet1k-v1; standard, squash, squash264 or full. `trunk` is that of the command too,
    and decides the last three axes; `variant` that of a file of weights that names none. View 0 is what heads score:
    with weights and plan of their own training, which `head.provenance.spec` tells, or the scores mean nothing.

    Random crops are drawn by `seed`, the view's number and the image's id: of `ids`, else a path's file name, else the
    image's place in the list, from 0, as text. Where these agree, the features are bit for bit those of
    `Collection.read_dequantised` from a collection of --precision float32 (not compiled, of --dtype float16, whose
    rounding they have), made on the same kind of machine.

    All images go through in one call: each call loads the weights again. They stay in memory, 0.8 MB a view.

    >>> import numpy as np
    >>> features = extract_features([np.zeros((60, 80, 3), np.uint8)], weights="untrained", augs=1)
    >>> features.shape, features.dtype
    ((1, 2, 14, 14, 1024), dtype('float32'))

    Raises ImageError for an image that cannot be used, which it names, ConfigError for other values that cannot be,
    WeightsError; DeviceMemoryError where a GPU has no room for one view.
    """
    images = _listed(images)
    about = described(trunk)
    if variant and not about.usual:
        raise ConfigError(f"variant: expected with the usual trunk alone, found trunk {about.name}")
    cutter = InMemory(images, _ids(images, ids), of_trunk(of_version(view_plan(plan, augs)), about), seed)
    out = np.empty((len(images), cutter.plan.views, *about.view_shape), np.float32)
    if not images:
        return out
    said: dict[str, Any] = {"variant": variant} if variant else {}
    compute = choose_compute(Hardware(device, "float32", compiled=False), trunk=about)
    with ignored_pillow_warnings(), own_switches():
        loaded = load_weights(weights, seed, **said) if about.usual else load_other_weights(about, weights, seed)
        run = FrozenTrunk(loaded, compute)
        if compute.kind != "cpu":
            find_room(run, codes=False)
            compute = run.compute
        for owners, pixels in in_batches(map(cutter, range(len(images))), compute.batch_size):
            for (cut, view), features, _, finite in zip(owners, *run(pixels).result(), strict=True):
                if not finite:
                    raise ImageError(f"{cutter.named(cut.row)}: expected finite features, found others in view {view}; "
                                     "other weights may help")  # fmt: skip
                out[cut.row, view] = features
    return out


@dataclass(frozen=True)
class InMemory:
    """Turn the number of an image into its views."""

    images: Sequence[AnImage]
    ids: Sequence[str]
    plan: ViewPlan
    seed: int

    def __call__(self, row: int) -> Cut:
        """Decode and cut an image. Raises ImageError that names it."""
        image = self.images[row]
        try:
            with ExitStack() as held:
                if isinstance(image, str | os.PathLike):
                    data = read_source(Path(image)).data
                    picture = held.enter_context(decoded(data, LIMITS, Budget(LIMITS.decoding_bytes)))
                else:
                    picture = picture_of(_as_pillow(image))
                boxes, pixels = views_of(self.plan, self.seed, self.ids[row], picture)
        except ImageError as error:
            raise ImageError(f"{self.named(row)}: {error}") from error
        return Cut(row, ImageFacts(), boxes, pixels)

    def named(self, row: int) -> str:
        """Return how errors name an image."""
        image = self.images[row]
        return f"images[{row}] ({os.fspath(image)})" if isinstance(image, str | os.PathLike) else f"images[{row}]"


@contextmanager
def own_switches() -> Iterator[None]:
    """Give torch's switches for TF32 back as they were: the process is the caller's, who may train beside."""
    kept = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = kept


def _as_pillow(image: object) -> Image.Image:
    """A Pillow image of pixels in memory. ImageError for what is none."""
    if isinstance(image, Image.Image):
        return image
    if not isinstance(image, np.ndarray):
        raise ImageError(f"expected a path, a Pillow image or an array, found a {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ImageError(f"expected an array (H, W, 3) of uint8, found {image.shape} of {image.dtype}")
    return Image.fromarray(np.ascontiguousarray(image))


def _listed(images: Sequence[AnImage]) -> Sequence[AnImage]:
    """The images as a list. ConfigError for one alone, whose characters or rows would be taken for images."""
    alone = isinstance(images, str | bytes | os.PathLike | Image.Image)
    if alone or (isinstance(images, np.ndarray) and images.ndim == 3):
        raise ConfigError("images: expected a list of images, found one; put it in a list")
    return list(images)


def _ids(images: Sequence[AnImage], ids: Sequence[str] | None) -> Sequence[str]:
    if ids is None:
        return [Path(image).name if isinstance(image, str | os.PathLike) else str(place)
                for place, image in enumerate(images)]  # fmt: skip
    if len(ids) != len(images):
        raise ConfigError(f"ids: expected one for each of {len(images)} images, found {len(ids)}")
    return ids
