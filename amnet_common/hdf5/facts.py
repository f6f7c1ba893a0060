"""What the HDF5 library says of a file: texts, shapes and places of the objects that are asked for, as JSON.

Nothing is followed out of the file: no external or soft links, no external storage, no virtual dataset.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from amnet_common.remote import is_remote, opened_object, reason, url_of

MAX_TEXT_BYTES = 2**20  # of an attribute; ours have at most some thousand
UNLIKELY = (OSError, LookupError, ValueError, TypeError, RuntimeError, AttributeError, MemoryError)  # what h5py raises


@dataclass(frozen=True)
class Question:
    """Name what is asked of a file."""

    path: str
    attributes: Sequence[str]  # of the root group
    datasets: Mapping[str, Sequence[str]]  # by name: their attributes
    groups: Mapping[str, Sequence[str]]  # of datasets, by name: the attributes of each
    most: int  # datasets of a group

    def as_json(self) -> dict[str, Any]:
        """Return the question as it is sent."""
        return dict(vars(self))


def facts(question: Question) -> dict[str, Any]:
    """Say what stands in a file; `{"unreadable": why}` where HDF5 cannot open it.

    `attributes`: of the root; `datasets`: those that are there, by name, with `shape`, `dtype`, `offset` (None: no
    place) and `attributes`; `groups`: the names of their datasets. `{"wrong": why}` stands in place of what is not as
    it should be.
    """
    try:
        with opened(question.path) as file:
            return _facts(file, question)
    except UNLIKELY as error:
        return {"unreadable": str(error)}
    except Exception as error:  # of a store's package, whatever it raises
        if not is_remote(question.path):
            raise
        return {"unreadable": reason(error)}


def opened(path: str) -> h5py.File:
    """Open a file for reading without HDF5's lock, or, where this process holds it open with one, as that does; of an
    object store by ranges of its bytes.

    Raises OSError.
    """
    if is_remote(path):
        return h5py.File(opened_object(url_of(path)), "r")
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        if "locking" not in str(error):
            raise
        return h5py.File(path, "r")


def _facts(file: h5py.File, question: Question) -> dict[str, Any]:
    datasets, groups = dict(question.datasets), {}
    for name, attributes in question.groups.items():
        members = groups[name] = _members(file, name, question.most)
        if isinstance(members, list):
            datasets |= {f"{name}/{member}": attributes for member in members}
    return {
        "attributes": _attributes(file, question.attributes),
        "datasets": {name: found for name, attributes in datasets.items()
                     if (found := _dataset(file, name, attributes)) is not None},
        "groups": groups,
    }  # fmt: skip


def _members(file: h5py.File, name: str, most: int) -> list[str] | dict[str, str]:
    """The names in a group, in order; none if there is no such group."""
    try:
        if not file.id.links.exists(name.encode()):
            return []
        group = _hard(file, name)
        if not isinstance(group, h5py.Group):  # to iterate over a dataset would read it
            return {"wrong": f"/{name} is no group"}
        if len(group) > most:
            return {"wrong": f"/{name} has {len(group)} lists, more than {most}"}
        return sorted(group)
    except UNLIKELY as error:
        return {"wrong": str(error)}


def _dataset(file: h5py.File, name: str, attributes: Sequence[str]) -> dict[str, Any] | None:
    """A dataset in one piece within this file, if it is there; to ask the shape of another may open further files."""
    try:
        if not file.id.links.exists(name.partition("/")[0].encode()):
            return None
        item = file
        for part in name.split("/"):
            item = _hard(item, part)
        if not isinstance(item, h5py.Dataset):
            return {"wrong": f"/{name} is no dataset"}
        plist = item.id.get_create_plist()
        if plist.get_layout() != h5py.h5d.CONTIGUOUS or plist.get_external_count():
            return {"wrong": f"/{name} is not contiguous within the file"}
        shape = None if item.shape is None else [*item.shape]
        return {"shape": shape, "dtype": described(item.dtype), "offset": item.id.get_offset(),
                "attributes": _attributes(item, attributes)}  # fmt: skip
    except UNLIKELY as error:
        return {"wrong": str(error)}


def _hard(group: h5py.Group, name: str) -> h5py.HLObject:
    links, key = group.id.links, name.encode()
    if not links.exists(key) or links.get_info(key).type != h5py.h5l.TYPE_HARD:
        raise ValueError(f"{name!r} is a link out of the file, or to nowhere")
    return group[name]


def _attributes(item: h5py.HLObject, names: Sequence[str]) -> dict[str, Any]:
    return {name: _attribute(item, name) for name in names}


def _attribute(item: h5py.HLObject, name: str) -> str | int | dict[str, str]:
    """A text of a fixed length, with bytes that are no UTF-8 as surrogates, or a whole number."""
    try:
        attribute = h5py.h5a.open(item.id, name.encode())  # many times faster than `item.attrs[name]`
        kind = attribute.dtype
        whole = kind.kind in "iu" and attribute.shape == ()
        if not whole and (kind.kind != "S" or attribute.shape != () or kind.itemsize > MAX_TEXT_BYTES):
            return {"wrong": f"attribute {name!r} is no text of a fixed length"}
        value = np.empty((), kind)
        attribute.read(value)
        return int(value) if whole else bytes(value[()]).decode("utf-8", "surrogateescape")
    except UNLIKELY as error:
        return {"wrong": str(error)}


def described(dtype: np.dtype) -> Any:  # noqa: ANN401 - JSON
    """Describe a dtype as JSON; `as_dtype` takes it back."""
    if dtype.subdtype:
        return {"of": described(dtype.subdtype[0]), "shape": [*dtype.subdtype[1]]}
    if dtype.fields:
        fields = [[name, described(dtype.fields[name][0]), dtype.fields[name][1]] for name in dtype.names or ()]
        return {"fields": fields, "itemsize": dtype.itemsize}
    return dtype.str


def as_dtype(found: Any) -> np.dtype:  # noqa: ANN401 - JSON
    """Return the dtype that `described` describes. Raises ValueError, LookupError or TypeError for what is none."""
    if isinstance(found, str):
        return np.dtype(found)
    if "of" in found:
        return np.dtype((as_dtype(found["of"]), tuple(found["shape"])))
    names, kinds, offsets = zip(*found["fields"], strict=True)
    return np.dtype({"names": names, "formats": [as_dtype(kind) for kind in kinds], "offsets": offsets,
                     "itemsize": found["itemsize"]})  # fmt: skip
