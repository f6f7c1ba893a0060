"""Heads of a user's own: classes that are named, FILE.py:CLASS or PACKAGE.MODULE:CLASS, or installed.

A run says which class its head has and keeps a hash of the class's file; no code runs because a run says so. Whoever
loads the run names the class again, or has it installed: an entry point of the group `amnet.heads`.
"""

import hashlib
import importlib
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from amnet_common.errors import ConfigError
from amnet_common.small_texts import shortened
from headtrain.heads.head import Head
from headtrain.heads.user_code import described, file_of
from headtrain.settings.configuration import EQUATIONS, OF_ANY_HEAD, OF_THE_PAPER, HeadConfig
from headtrain.settings.own import kinds_of
from headtrain.settings.text import COLUMNS

GROUP = "amnet.heads"  # of entry points: name = "package.module:CLASS"
OF_AMNET = {"mean-pool": "headtrain.heads.mean_pool:MeanPool",
            "attention-pool": "headtrain.heads.attention_pool:AttentionPool"}  # fmt: skip


@dataclass(frozen=True)
class OwnHead:
    """Hold a class, by the name that runs give it, and the SHA-256 of its file."""

    name: str
    kind: type[Head]
    source: str

    @property
    def kinds(self) -> Mapping[str, type]:
        """Return the class's settings with their types."""
        return kinds_of(self.kind.Settings, self.name)

    def defaults(self) -> dict[str, Any]:
        """Return the class's settings at their defaults."""
        return asdict(self.kind.Settings())


NAMED: dict[str, OwnHead] = {}  # by their names, what this process was told of last
NAMED_AS: dict[tuple[str, str], OwnHead] = {}  # by name and source: two files may have one name
RESERVED = {*OF_ANY_HEAD, *(name for known, column in COLUMNS.items() if known not in OF_THE_PAPER
                            for name in (known, column))}  # fmt: skip


def name_head(reference: str) -> OwnHead:
    """Import the class that a user names, so that heads of it can be made and loaded in this process.

    Raises ConfigError for a file or a class that is not there, cannot be imported, or is no head.
    """
    where, colon, class_name = reference.rpartition(":")
    if not colon:
        return installed(reference)
    if where.endswith(".py"):
        module, source = from_file(Path(where))
        return registered(f"{Path(where).name}:{class_name}", getattr(module, class_name, None), source, reference)
    module = imported(where, reference)
    return registered(reference, getattr(module, class_name, None), source_of(module), reference)


def registered(name: str, kind: object, source: str, reference: str) -> OwnHead:
    """Keep a class under a name. Raises ConfigError for what is no class of a head."""
    if not (isinstance(kind, type) and issubclass(kind, Head) and kind is not Head):
        found = "none of that name" if kind is None else shortened(kind)
        raise ConfigError(f"--arch {reference}: expected a subclass of amnet.Head, found {found}")
    if taken := sorted(RESERVED & kinds_of(kind.Settings, f"--arch {reference}").keys()):
        raise ConfigError(
            f"--arch {reference}: expected names of Settings that no setting of training has, found {taken[0]}"
        )
    NAMED[name] = NAMED_AS[name, source] = OwnHead(name, kind, source)
    return NAMED[name]


def from_file(path: Path) -> tuple[ModuleType, str]:
    """Import a file of Python by its path; return the module and the SHA-256 of what was read, which is what runs.

    Raises ConfigError.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"--arch {path}: expected a file of Python, found none that can be read "
                          f"({error.strerror})") from error  # fmt: skip
    source = hashlib.sha256(text).hexdigest()
    module = ModuleType(f"amnet_own_{source}")
    if module.__name__ in sys.modules:
        return sys.modules[module.__name__], source
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look their module up there
    try:
        exec(compile(text, path, "exec"), module.__dict__)  # not by importlib: a cache of its own might be older
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise broken(str(path), str(path), error) from error
    return module, source


def imported(module: str, reference: str) -> ModuleType:
    """Import an installed module, or one of the working folder. Raises ConfigError."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # as `python -m` does; last, so that it hides nothing
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise broken(reference, module, error) from error


def installed(name: str) -> OwnHead:
    """Import a head of amnet, or an installed one by its entry point's name. Raises ConfigError if there is none."""
    found = installed_heads()
    if name not in found:
        raise ConfigError(f"--arch: expected {', '.join((*EQUATIONS[:2], *found))}, FILE.py:CLASS or "
                          f"PACKAGE.MODULE:CLASS, found {name!r}")  # fmt: skip
    module, _, kind = found[name].partition(":")
    found_in = imported(module, name)
    return registered(name, getattr(found_in, kind, None), source_of(found_in), name)


def installed_heads() -> dict[str, str]:
    """Return the names of amnet's further heads and of installed ones, and what each stands for."""
    return {entry.name: entry.value for entry in entry_points(group=GROUP)} | OF_AMNET


def broken(reference: str, where: str, error: BaseException) -> ConfigError:
    """Describe an import that failed in one line, with the line of the file where it did."""
    return ConfigError(f"--arch {reference}: expected a module that can be imported, found {described(error, where)}")


def source_of(module: ModuleType) -> str:
    """Return the SHA-256 of a module's file, as hex digits; of its name where there is none.

    Of a module of amnet nothing: a run says of which version it is.
    """
    if module.__name__.partition(".")[0] == __name__.partition(".")[0]:
        return ""
    file = getattr(module, "__file__", None)
    return hashlib.sha256(Path(file).read_bytes() if file else module.__name__.encode()).hexdigest()


def found_or_named(reference: str, told: bool) -> OwnHead:
    """Return the head of a reference: what a user has named, or what is installed.

    `told`: by the user, now, and not by a run or a file, which is no reason to run code. Raises ConfigError.
    """
    if told:
        return name_head(reference)
    if reference in NAMED:
        return NAMED[reference]
    if reference in installed_heads():
        return installed(reference)
    raise ConfigError(f"expected a head of amnet or one that is installed, found {shortened(reference, 200)}; name its "
                      "class with --arch (in Python: amnet.name_head)")  # fmt: skip


def own_class(config: HeadConfig) -> type[Head]:
    """Return the class of a head of one's own. Raises ConfigError where it was neither named nor is installed."""
    same = NAMED_AS.get((config.architecture, config.source))
    return (same or found_or_named(config.architecture, told=False)).kind


def new_own(config: HeadConfig) -> Head:
    """Make a head of one's own. Raises ConfigError for a class whose `__init__` fails, or does not begin as it must."""
    kind = own_class(config)
    try:
        head = kind(config)
        assert head.config is config
        return head
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        found = described(error, file_of(kind))
        raise ConfigError(f"{config.architecture}: expected __init__(config) that runs and begins with "
                          f"super().__init__(config), found {found}") from error  # fmt: skip


def changed_line(config: HeadConfig) -> str:
    """Describe that the file of a head's class is another than when it was trained; empty where it is not."""
    found = NAMED.get(config.architecture)
    if found is None or (config.architecture, config.source) in NAMED_AS:
        return ""
    return (f"the file of {config.architecture} has changed since this head was trained (SHA-256 {found.source[:12]} "
            f"now, {config.source[:12]} then): it may compute something else")  # fmt: skip
