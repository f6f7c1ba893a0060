"""What one command asks of an extraction, before torch is loaded or anything is looked at."""

import re
from dataclasses import dataclass
from pathlib import Path

from amnet_common.collection import Collection
from amnet_common.datasets import Dataset
from amnet_common.errors import ConfigError
from amnet_common.images import Limits
from extract.crops import ViewPlan
from extract.trunk_description import USUAL_TRUNK, TrunkDescription
from extract.weight_source import Expected

AUTO = "auto"


@dataclass(frozen=True)
class Shard:
    """Name part `number` (from 1) of `count` parts of the rows, each of neighbouring rows. Raises ConfigError."""

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ConfigError(f"--shard: expected I/N with I from 1 to N, found {self.number}/{self.count}")

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Parse a text such as `2/4`. Raises ConfigError."""
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if not match:
            raise ConfigError(f"--shard: expected I/N, such as 2/4, found {text!r}")
        return cls(int(match[1]), int(match[2]))

    def rows(self, total: int) -> range:
        """Return the row range of this shard, of `total` rows."""
        return range((self.number - 1) * total // self.count, self.number * total // self.count)


@dataclass(frozen=True)
class Request:
    """Describe what one command asks for: which file, of which images, with which settings, and which of its rows.

    Raises ConfigError for a limit below 1, and for `overwrite` of a shard.
    """

    out: Path
    dataset: Dataset
    weights: str  # a source of weight_source.chosen_source
    plan: ViewPlan = ViewPlan()  # noqa: RUF009 (frozen)
    any_version: bool = True  # of the plan: that of the file that is there, or of `like`, goes before the plan's own
    seed: int = 0
    dtype: str = "float16"
    precision: str = AUTO  # what the file was begun with, or the fastest for the hardware
    shard: Shard = Shard()
    limit: int | None = None
    limits: Limits = Limits()  # noqa: RUF009 (frozen)
    like: Collection | None = None  # whose spec and scales a new file takes
    overwrite: bool = False
    retry_failed: bool = False
    update: bool = False
    rehash: bool = False
    allow_other_kernels: bool = False
    expected: Expected = Expected()  # noqa: RUF009 (frozen) - of the weights
    trunk: TrunkDescription = USUAL_TRUNK
    variant: str | None = None  # of a file of weights that names none
    part_mark: str = ""  # in the names of new parts: parts_folder.next_path
    follows: bool = False  # `like` is what was kept in step with the dataset before: no --like was given

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"--limit: expected 1 or more, found {self.limit}")
        if self.variant and not self.trunk.usual:
            raise ConfigError(f"--variant: expected with the usual trunk alone, found --trunk {self.trunk.name}")
        if self.overwrite and self.shard.count > 1:
            raise ConfigError("--overwrite with --shard: each process would throw away the file of the others; "
                              "remove it once, then start them")  # fmt: skip

    @property
    def row_range(self) -> range:
        """Return the row range that this command may fill."""
        rows = self.shard.rows(len(self.dataset.ids))
        return rows if self.limit is None else range(rows.start, max(rows.start, min(rows.stop, self.limit)))
