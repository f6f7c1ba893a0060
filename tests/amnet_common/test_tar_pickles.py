"""Checkpoints in torch's first format, as it still reads them itself where code may run."""

import io
import os
import pickle
import struct
import tarfile
from collections import OrderedDict

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amnet_common.errors import WeightsError
from amnet_common.state_dicts import read_state_dict
from amnet_common.tar_pickles import _member


def pickled(value, names=None):
    """Protocol 2; the text @NAME@ becomes the global torch.NAME."""
    content = pickle.dumps(value, protocol=2)
    for name in names or ():
        text = f"@{name}@".encode()
        content = content.replace(b"X" + struct.pack("<I", len(text)) + text, b"ctorch\n" + name.encode() + b"\n")
    return content


def tar_of(path, state, unsafe=None):
    """A checkpoint of `state`, whose tensors have a storage each but for those that share one."""
    storages, tensors, keys = b"", b"", {}
    for number, (name, tensor) in enumerate(state.items()):
        kind = {torch.float32: "FloatStorage", torch.int64: "LongStorage"}[tensor.dtype]
        data = tensor.untyped_storage()
        storages += pickled((number, "cuda:0", f"@{kind}@"), [kind])
        storages += struct.pack("<q", len(data) // tensor.element_size()) + bytes(data)
        tensors += pickled((100 + number, number, "@FloatTensor@"), ["FloatTensor"])
        tensors += struct.pack(f"<ii{2 * tensor.ndim + 1}q", tensor.ndim, 0, *tensor.shape, *tensor.stride(),
                               tensor.storage_offset())  # fmt: skip
        keys[name] = Reference(100 + number)
    main = io.BytesIO()
    pickler = pickle.Pickler(main, protocol=2)
    pickler.persistent_id = lambda value: value.key if isinstance(value, Reference) else None
    pickler.dump({"model": OrderedDict(keys), "epoch": 3, "more": unsafe})
    members = {"sys_info": pickled({}), "pickle": main.getvalue(), "tensors": pickled(len(state)) + tensors,
               "storages": pickled(len(state)) + storages + pickled([])}  # fmt: skip
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


class Reference:
    def __init__(self, key):
        self.key = key


STATE = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.arange(9.0)[2:8].view(3, 2).T, "c": torch.tensor(7),
         "d": torch.ones(1)}  # fmt: skip


def test_a_tar_archive_is_read_as_torch_reads_it_and_without_its_gpu(tmp_path):
    path = tar_of(tmp_path / "w.pkl", STATE)
    found, wanted = read_state_dict(path)[0], torch.load(path, map_location="cpu", weights_only=False)["model"]
    assert [*found] == [*wanted] == [*STATE]
    assert all(torch.equal(found[name], wanted[name]) and torch.equal(found[name], STATE[name]) for name in STATE)


def test_holes_of_a_member_take_no_memory(tmp_path):
    """GNU tar leaves out zeros: ten kilobytes may claim gigabytes of them."""
    path = tmp_path / "w.pkl"
    tar_of(path, STATE)
    with tarfile.open(path) as archive:
        members = {one.name: archive.extractfile(one).read() for one in archive}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if name == "storages":
                info.pax_headers = {"GNU.sparse.map": f"0,{len(content)},{2**33},0", "GNU.sparse.size": str(2**33)}
            archive.addfile(info, io.BytesIO(content))
    with tarfile.open(path) as archive, pytest.raises(ValueError, match="no plain file storages"):
        _member(archive, "storages")
    with pytest.raises(WeightsError):
        read_state_dict(path)


class Unsafe:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_a_tar_archive_runs_no_code(tmp_path):
    path = tar_of(tmp_path / "w.pkl", STATE, unsafe=Unsafe(tmp_path / "was run"))
    with pytest.raises(WeightsError, match=r"posix.mkdir, which a checkpoint has no use for"):
        read_state_dict(path)
    assert os.listdir(tmp_path) == ["w.pkl"]


def test_a_tensor_outside_its_storage_or_far_larger_is_refused(tmp_path):
    content = tar_of(tmp_path / "w.pkl", {"a": torch.zeros(7, 5)}).read_bytes()
    shape = struct.pack("<4q", 7, 5, 5, 1)
    for other in (struct.pack("<4q", 7, 500, 5, 1), struct.pack("<4q", 10**6, 10**6, 0, 0)):
        (tmp_path / "w.pkl").write_bytes(content.replace(shape, other))
        with pytest.raises(WeightsError, match=r"w\.pkl: expected a state dict that torch reads"):
            read_state_dict(tmp_path / "w.pkl")


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6), st.binary(max_size=6)), min_size=1, max_size=5))
def test_a_tar_archive_with_other_bytes_is_read_or_refused(tmp_path_factory, edits):
    folder = tmp_path_factory.getbasetemp()
    content = tar_of(folder / "t.pkl", STATE).read_bytes()
    for place, length, new in edits:
        at = int(place * len(content))
        content = content[:at] + new + content[at + length :]
    (folder / "t.pkl").write_bytes(content)
    try:
        found, _ = read_state_dict(folder / "t.pkl")
    except WeightsError:
        return
    assert all(str(value) for value in found.values())
