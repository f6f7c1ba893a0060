"""What heads say of photographs that were dropped on the page: score, percentile, steps and attention, as JSON values.

Letters: T steps, L locations.
"""

import contextlib
import itertools
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.folding import with_lists_of
from amnet_common.collection.layout import DONE
from amnet_common.errors import AmnetError, ConfigError, ImageError
from amnet_common.images import decode_rgb, ignored_pillow_warnings, read_source
from headtrain.evaluation.predictions import read_predictions
from headtrain.figures.attention_maps import TOP, entropy_of, is_alike
from headtrain.heads.head import Head
from headtrain.report.images import data_url
from headtrain.runs.documents import read_begun, read_result
from headtrain.runs.features import opened_features
from headtrain.runs.folder import RUN, TEST
from headtrain.scoring.blocks import score_block
from headtrain.scoring.photos import extracted
from headtrain.scoring.scores import fitted_views, trunk_differences
from headtrain.scoring.trunk_wanted import described_trunk

SIDE = 640  # pixels of the longer side of a picture on the page
MOST_KEPT = 50  # drops whose features are kept, so that another head needs no extraction


class Reference(NamedTuple):
    """Hold the human scores that a head's are placed among."""

    scores: np.ndarray  # (n,) ascending
    of: str  # whose they are

    def percentile(self, score: float) -> float | None:
        """Return the share of these scores, in percent, that are lower; ties count half. None without any."""
        if not len(self.scores):
            return None
        below, upto = (np.searchsorted(self.scores, score, side) for side in ("left", "right"))
        return float(50 * (below + upto) / len(self.scores))


@dataclass(frozen=True)
class Photo:
    """Name a photograph that was dropped, and where its bytes stand."""

    name: str
    path: Path


class Drop(NamedTuple):
    """Hold photographs that were dropped together, and their pictures for the page; None: it cannot be shown."""

    photos: Sequence[Photo]
    pictures: Sequence[str | None]
    folder: Path
    features: dict[str, Collection]  # by how they were cut


def reference_of(head: Path) -> Reference:
    """Find the scores that a head was trained on; if its collection is gone, those of its test; or none."""
    run = head if head.is_dir() else head.parent
    with contextlib.suppress(AmnetError, OSError):
        about = read_begun(run) if (run / RUN).exists() else read_result(run)  # a baseline has a result alone
        if about.split and Path(about.features).is_file():
            collection = with_lists_of(opened_features(about), about.folding)
            scores = collection.split(f"train_{about.split}").scores
            return Reference(np.sort(scores), "training images")
    with contextlib.suppress(AmnetError, OSError):
        if (run / TEST).exists():
            return Reference(np.sort(read_predictions(run / TEST).scores), "test images")
    return Reference(np.empty(0), "")


class Looking:
    """Look at photographs with one of several heads; the features of a drop are computed once for all of like trunk.

    `work`: a folder for them, which the caller removes. `weights` and `device` are those of amnet-extract.
    """

    def __init__(self, heads: Mapping[str, Head], work: Path, weights: str | None, device: str) -> None:
        self.heads, self.work, self.weights, self.device = dict(heads), work, weights, device
        self.references = {name: reference_of(Path(name)) for name in heads}
        self._drops: OrderedDict[int, Drop] = OrderedDict()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()  # one look at a time: an extraction takes the whole machine

    def drop(self, photos: Sequence[Photo]) -> int:
        """Keep photographs that were dropped together, and return their number."""
        with self._lock:
            number = next(self._numbers)
            folder = self.work / f"drop-{number}"
            folder.mkdir()
            self._drops[number] = Drop(photos, [picture_of(photo.path) for photo in photos], folder, {})
            while len(self._drops) > MOST_KEPT:
                forget(self._drops.popitem(last=False)[1])
        return number

    def look(self, name: str, number: int) -> list[dict[str, Any]]:
        """Return what the head called `name` says of each photograph of a drop.

        Raises ConfigError for a head or a drop that is not there, or where amnet-extract fails, which has said why;
        SpecError and others as it does.
        """
        with self._lock:
            if name not in self.heads or number not in self._drops:
                raise ConfigError("look: expected a head and photographs that are known here, found others; drop them "
                                  "again")  # fmt: skip
            head, drop = self.heads[name], self._drops[number]
            collection = self._features(name, head, drop)
            refuse_other_trunk(name, head, collection)
            return seen(head, self.references[name], collection, drop)

    def _features(self, name: str, head: Head, drop: Drop) -> Collection:
        spec = head.provenance.spec if head.provenance else {}
        augs = fitted_views(spec, 1) - 1 if head.pools_views else 0
        key = f"{spec.get('trunk')} {spec.get('weights_sha256')} {spec.get('view_plan')} {augs}"
        if key not in drop.features:
            folder = Path(tempfile.mkdtemp(dir=drop.folder))  # a new one: a try before may have failed
            trunk = described_trunk(Path(name), spec)
            paths = [photo.path for photo in drop.photos]
            found = extracted(paths, folder, spec, self.weights, self.device, augs, trunk)
            if isinstance(found, int):
                raise ConfigError(f"amnet-extract could not read the photographs; the terminal says why. The head "
                                  f"wants {trunk}")  # fmt: skip
            drop.features[key] = found
        return drop.features[key]


def forget(drop: Drop) -> None:
    """Remove what is kept of a drop."""
    shutil.rmtree(drop.folder, ignore_errors=True)
    for photo in drop.photos:
        photo.path.unlink(missing_ok=True)


def refuse_other_trunk(name: str, head: Head, collection: Collection) -> None:
    """Raise ConfigError if the features are not of the trunk that the head was trained on."""
    unlike = [line for line in trunk_differences(head.provenance, collection) if not line.startswith("pixels: ")]
    if unlike:
        raise ConfigError(f"{name} was trained on features of another trunk ({'; '.join(unlike)}); name its weights "
                          "with --weights")  # fmt: skip


def picture_of(path: Path) -> str | None:
    """Return a photograph as the page shows it, upright, as a data URL; None if it cannot be read."""
    try:
        with ignored_pillow_warnings():
            return data_url(decode_rgb(read_source(path).data), SIDE)
    except ImageError:
        return None


def seen(head: Head, reference: Reference, collection: Collection, drop: Drop) -> list[dict[str, Any]]:
    """Describe each photograph of a drop as JSON values."""
    rows = score_block([head], collection, np.arange(len(collection)), range(collection.views))
    found: list[dict[str, Any]] = []
    for row, (one, photo, picture) in enumerate(zip(rows, drop.photos, drop.pictures, strict=True)):
        if one.score is None:
            found.append({"name": photo.name, "picture": picture, "reason": one.reason})
            continue
        about = {"name": photo.name, "picture": picture, "score": one.score,
                 "percentile": reference.percentile(one.score), "of": reference.of}  # fmt: skip
        found.append(about | ({} if head.pools_views else attention_of(head, collection, row)))
    return found


def attention_of(head: Head, collection: Collection, row: int) -> dict[str, Any]:
    """Describe where a head looked at a finished row, and what each step added: weights (T, L) of a grid of rows and
    columns as times the weight that all locations would have alike, at how many of these the colour is full, the view's
    box as shares of the picture, the mean entropy of the steps (1: everywhere alike), and whether every step looks
    everywhere alike.
    """
    assert collection.status[row] == DONE
    output = head.predict(collection.read_dequantised([row], 0, check=True))
    weights = output.attention[0].double().numpy()  # (T, L)
    L = weights.shape[1]
    top, left, height, width, _ = collection.boxes[row, 0].astype(float).tolist()
    H, W = (max(1, int(collection.images[side][row])) for side in ("height", "width"))
    return {
        "steps": [round(step, 6) for step in output.steps[0].tolist()],
        "grid": [*collection.view_shape[:2]],
        "maps": [[round(value, 3) for value in step] for step in (weights * L).tolist()],
        "box": [top / H, left / W, height / H, width / W],
        "top": TOP,
        "entropy": round(sum(map(entropy_of, weights)) / len(weights), 4),
        "alike": all(map(is_alike, weights)),
    }
