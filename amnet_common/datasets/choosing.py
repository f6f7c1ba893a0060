"""Which files and folders below a root are taken (pure): what is left out by itself, and what a user says."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

LEFT_OUT = (  # thumbnails, previews and bins: pictures that their owner does not see, or has thrown away
    *("@eaDir", "#recycle", "#snapshot"),  # Synology
    *("@Recycle", "@Recently-Snapshot"),  # QNAP
    *("$RECYCLE.BIN", "RECYCLER", "System Volume Information"),  # Windows
    *("lost+found", "__MACOSX"),
    *("*.lrdata", "*.cocatalog/Cache", "CaptureOne/Cache"),  # Lightroom, Capture One
    *("*.photoslibrary/resources/derivatives", "*.photoslibrary/resources/proxies", "*.photoslibrary/scopes"),  # Apple
    *("*.aplibrary/Thumbnails", "*.aplibrary/Previews", "*.migratedphotolibrary/Thumbnails"),
)


@dataclass(frozen=True)
class Choice:
    """Hold the patterns of --exclude and --include.

    A pattern with a slash is for the path below the root, one without for the name of a file or folder. `*` stands for
    any characters, slashes among them. An `include` that names a folder of LEFT_OUT takes that in; any other takes
    files, or all below a folder, and then nothing else is taken. What `exclude` names is left out in any case.
    """

    exclude: tuple[str, ...] = ()
    include: tuple[str, ...] = ()

    @property
    def only(self) -> tuple[str, ...]:
        """Return the patterns of `include` that say what alone is taken."""
        return tuple(glob for glob in self.include if not _is_of_left_out(glob))

    def enters(self, folder: str, root_name: str) -> bool:
        """Tell whether a folder, by its path below the root, is looked into."""
        return not is_named(folder, self.exclude) and not self.leaves_out(folder, root_name)

    def leaves_out(self, folder: str, root_name: str) -> bool:
        """Tell whether a folder is one of LEFT_OUT that `include` does not name. `root_name`: of the root itself."""
        path = f"/{root_name}/{folder}".lower()
        found = [glob for glob in LEFT_OUT if fnmatchcase(path, f"*/{glob.lower()}")]
        named = tuple(glob.lower() for glob in self.include)
        return bool(found) and not is_named(folder.lower(), named) and not {one.lower() for one in found} & {*named}

    def takes(self, file: str) -> bool:
        """Tell whether an image, by its path below the root, is taken, its folder being entered."""
        if is_named(file, self.exclude):
            return False
        parts = file.split("/")
        only = self.only
        return not only or any(is_named("/".join(parts[:end]), only) for end in range(1, len(parts) + 1))


def is_named(path: str, globs: Sequence[str]) -> bool:
    """Tell whether a pattern names this very path below the root, or its last part."""
    name = path.rpartition("/")[2]
    for glob in globs:
        plain = glob.removeprefix("./").removeprefix("**/").strip("/")
        if fnmatchcase(path if "/" in plain else name, plain) or ("**/" in glob and fnmatchcase(path, f"*/{plain}")):
            return True
    return False


def _is_of_left_out(glob: str) -> bool:
    """Whether a pattern is for folders that are left out by themselves: a name or path of one, or `*`."""
    name = glob.strip("/").lower()
    return name == "*" or any(fnmatchcase(f"/{name}", f"*/{known.lower()}") for known in LEFT_OUT)
