"""Names that nearly match (pure): which image a table means by a name that no image has, if that is certain.

Names are near if they differ only in case, in the suffix of an image (there or not), in folders in front, in slashes of
Windows, in spaces around them or that cannot be seen, or in the form of Unicode.
"""

import difflib
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from amnet_common.datasets.cells import stripped
from amnet_common.datasets.folder import is_image_name

MOST_ALIKE = 50  # images of one last name that are looked at one by one
MOST_GUESSED = 20_000  # images among which a misspelt name is looked for
SUFFIX, FOLDER, CASE, SLASH, SPACE, UNICODE = "suffix", "folder", "case", "backslash", "space", "form of Unicode"
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # amnet's own tables have an apostrophe before a name that begins so


@dataclass(frozen=True)
class Near:
    """Hold what strangers are called among the known names."""

    own: Mapping[str, str]  # name of the table -> name of the image
    differences: Counter[str] = field(default_factory=Counter)  # how many names differ in what
    unclear: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # strangers with several such images

    def line(self, where: str) -> str:
        """Describe the matches, with an example; empty if there are none."""
        if not self.own:
            return ""
        name, own = next(iter(self.own.items()))
        kinds = ", ".join(kind for kind, _ in self.differences.most_common())
        return (f"{len(self.own)} names nearly match images {where} ({kinds}), such as {name!r}, taken as {own!r}; the "
                "images go by their own names")  # fmt: skip


def tidy(name: str) -> str:
    """Return a name without spaces around it, backslashes, and `./` in front, composed."""
    name = stripped(name)
    if name[:1] == "'" and name[1:].startswith(FORMULA):
        name = name[1:]
    return unicodedata.normalize("NFC", name.replace("\\", "/").removeprefix("./"))


class Index:
    """Find known names by what is left of them when all that near names may differ in is taken away."""

    def __init__(self, known: Iterable[str]) -> None:
        self._by_stem: dict[str, list[str]] = {}
        self._by_two: dict[tuple[str, str], list[str]] = {}
        for name in known:
            *folders, stem = _parts(name)
            self._by_stem.setdefault(stem, []).append(name)
            self._by_two.setdefault((folders[-1] if folders else "", stem), []).append(name)

    def candidates(self, name: str) -> list[str]:
        """Return the known names that are near `name`, the nearest alone if there is one."""
        *folders, stem = _parts(name)
        alike = self._by_stem.get(stem, [])
        if len(alike) > MOST_ALIKE:
            alike = self._by_two.get((folders[-1] if folders else "", stem), [])
        if len(alike) > MOST_ALIKE:
            return []
        found = {known: differences(name, known) for known in alike if _same_end(folders, _parts(known)[:-1])}
        nearest = [known for known, its in found.items() if all(its <= other for other in found.values())]
        return nearest if len(nearest) == 1 else [*found]


def near_names(strangers: Iterable[str], index: Index) -> Near:
    """Find what each of `strangers`, names that are not known, is called among the names of an index."""
    own: dict[str, str] = {}
    unclear: dict[str, tuple[str, ...]] = {}
    kinds: Counter[str] = Counter()
    for name in strangers:
        found = index.candidates(name)
        if len(found) == 1:
            own[name] = found[0]
            kinds.update(differences(name, found[0]))
        elif found:
            unclear[name] = tuple(sorted(found))
    return Near(own, kinds, unclear)


def differences(name: str, known: str) -> frozenset[str]:
    """Name what two near names differ in."""
    a, b = tidy(name), tidy(known)
    last, known_last = a.rpartition("/")[2], b.rpartition("/")[2]
    found = {
        SLASH: "\\" in name and "\\" not in known,
        SPACE: name != stripped(name),
        UNICODE: stripped(name) != unicodedata.normalize("NFC", stripped(name)) or known != b,
        FOLDER: a.count("/") != b.count("/") or stripped(name)[:2] in ("./", ".\\"),
        SUFFIX: _suffix(last).lower() != _suffix(known_last).lower(),
        CASE: _without_suffix(last) != _without_suffix(known_last) or _other_case(a, b),
    }
    return frozenset(kind for kind, is_so in found.items() if is_so)


def guess(name: str, known: Collection[str]) -> str:
    """Return the known name that a misspelt one may stand for; empty if none is like it."""
    if len(known) > MOST_GUESSED or len(name) > 200:
        return ""
    return next(iter(difflib.get_close_matches(tidy(name), known, 1, 0.8)), "")


def did_you_mean(name: str, near: Near, known: Collection[str]) -> str:
    """Return `; did you mean ...?` for a name that is not known; empty where nothing is like it."""
    meant = [*near.unclear.get(name, ())[:3]] or [found for found in [guess(name, known)] if found]
    return f"; did you mean {' or '.join(map(repr, meant))}?" if meant else ""


def _other_case(a: str, b: str) -> bool:
    """Whether the folders that both have, or suffixes of one kind, are written in another case."""
    ends = list(zip(reversed(a.split("/")), reversed(b.split("/")), strict=False))
    suffixes = _suffix(a), _suffix(b)
    return any(x != y for x, y in ends[1:]) or (
        suffixes[0] != suffixes[1] and suffixes[0].lower() == suffixes[1].lower()
    )


def _parts(name: str) -> list[str]:
    """The folders of a name and its last part without an image's suffix, all without regard to case."""
    *folders, last = tidy(name).split("/")
    return [part.casefold() for part in [*folders, _without_suffix(last)]]


def _suffix(last: str) -> str:
    return f".{last.rpartition('.')[2]}" if is_image_name(last) else ""


def _without_suffix(last: str) -> str:
    return last.rpartition(".")[0] if is_image_name(last) else last


def _same_end(a: list[str], b: list[str]) -> bool:
    """Whether the shorter list of folders ends the longer one."""
    short = min(len(a), len(b))
    return not short or a[-short:] == b[-short:]
