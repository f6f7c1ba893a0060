"""Trunks by name: `resnet50-layer3`, `torchvision:NETWORK/LAYER@SIZE` (or NETWORK-LAYER), `timm:NETWORK`.

A maker of networks is one file in this folder, and nothing else: its name is that of the file. It has

- `describe(name: TrunkName) -> TrunkDescription`: what is known of a trunk without its weights; ConfigError,
- `network(trunk) -> nn.Module`: the network up to the trunk's node, with fresh weights, pixels (B, 3, size, size) in,
- `whole(trunk) -> set[str]`: the names of all tensors that a file of the whole network has,
- `adapted(trunk, state) -> Mapping[str, Tensor]`: a file's tensors by the names and shapes of `network`,
- `download(trunk, source) -> Mapping[str, Tensor]`: the published weights of that name; WeightsError,
- `at_hand() -> Iterator[str]`: a line for each network, or for all of them.

Whatever imports torch is imported when another trunk than the usual one is asked for.
"""

import pkgutil
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from amnet_common.errors import ConfigError
from extract.trunk_description import USUAL, USUAL_TRUNK, TrunkDescription

if TYPE_CHECKING:
    from torch import Tensor, nn

WORD = r"[A-Za-z0-9_][A-Za-z0-9_.]*"  # no paths, no addresses: a name may come from a head that a stranger has made
NAME = re.compile(rf"(?:(?P<maker>[a-z_]+):)?(?P<network>{WORD})(?:[/-](?P<layer>{WORD}))?(?:@(?P<size>\d{{1,5}}))?")
MOST_SIZE = 4096  # pixels of the input's side


@dataclass(frozen=True)
class TrunkName:
    """Hold what a trunk's name says; `layer` and `size` are empty and None where the network decides."""

    maker: str
    network: str
    layer: str = ""
    size: int | None = None


class Maker(Protocol):
    """Describe what a file of this folder has."""

    def describe(self, name: TrunkName) -> TrunkDescription: ...
    def network(self, trunk: TrunkDescription) -> "nn.Module": ...
    def whole(self, trunk: TrunkDescription) -> set[str]: ...
    def adapted(self, trunk: TrunkDescription, state: "Mapping[str, Tensor]") -> "Mapping[str, Tensor]": ...
    def download(self, trunk: TrunkDescription, source: str) -> "Mapping[str, Tensor]": ...
    def at_hand(self) -> Iterator[str]: ...


def described(text: str = USUAL) -> TrunkDescription:
    """Describe the trunk of that name; the usual one without torch. Raises ConfigError for one that cannot be had."""
    if text == USUAL:
        return USUAL_TRUNK
    name = parsed(text)
    found = maker_of(name.maker).describe(name)
    same = ("maker", "network", "node", "size")
    usual = all(getattr(found, field) == getattr(USUAL_TRUNK, field) for field in same)
    return USUAL_TRUNK if usual else found


def parsed(text: str) -> TrunkName:
    """Parse the name of a trunk. Raises ConfigError."""
    found = NAME.fullmatch(text)
    if not found:
        raise ConfigError(f"--trunk: expected {USUAL}, torchvision:NETWORK/LAYER or timm:NETWORK, found {text[:80]!r}; "
                          "amnet-extract --list-trunks lists networks")  # fmt: skip
    size = int(found["size"]) if found["size"] else None
    if size is not None and not 1 <= size <= MOST_SIZE:
        raise ConfigError(f"--trunk {text}: expected 1 to {MOST_SIZE} pixels after @, found {size}")
    maker = found["maker"] or "torchvision"
    if maker not in makers():
        raise ConfigError(f"--trunk {text}: expected a maker among {', '.join(makers())}, found {maker!r}")
    return TrunkName(maker, found["network"], found["layer"] or "", size)


def makers() -> list[str]:
    """List the makers: the files of this folder."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def maker_of(name: str) -> Maker:
    """Return the file of a maker."""
    return cast("Maker", import_module(f"{__name__}.{name}"))


def lines_at_hand() -> Iterator[str]:
    """Yield what --list-trunks prints."""
    yield f"{USUAL}  (default)"
    for name in makers():
        yield from maker_of(name).at_hand()
