"""Mutated files of every kind that a command reads: a few in `make test`, thousands in `make fuzz`."""

import io
import shutil
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import seed_files as seeds
from edits import EDITS, edited
from hdf5_metadata import blocks, with_byte
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trials import EXAMPLES

from amnet_common.datasets import Columns
from amnet_common.datasets.label_table import read_label_table
from amnet_common.datasets.score_table import read_score_table
from amnet_common.datasets.split_lists import read_list
from amnet_common.images.decoding import decode_rgb
from amnet_common.observers.trials import read_trials
from headtrain.evaluation.predictions import read_predictions
from headtrain.heads.checkpoint import load_head
from headtrain.runs.folder import DIVERGED, LOG, RESULT, RUN
from headtrain.settings.config_file import read_config

METADATA = 8192  # bytes at the start of a collection in which HDF5's structure stands
Mutate = Callable[[bytes, st.DataObject], bytes]


def anywhere(content: bytes, data: st.DataObject) -> bytes:
    """Bytes changed, put in or left out, wherever."""
    return edited(content, data.draw(EDITS))


def at_the_start(content: bytes, data: st.DataObject) -> bytes:
    """The same within the structure of an HDF5 file."""
    return edited(content[:METADATA], data.draw(EDITS)) + content[METADATA:]


def with_right_checksums(content: bytes, data: st.DataObject) -> bytes:
    """Bytes of HDF5's structure changed, and its checksums mended."""
    found = sorted(blocks(content[:METADATA]))
    for _ in range(data.draw(st.integers(1, 3))):
        begin, end = data.draw(st.sampled_from(found))
        value = data.draw(st.sampled_from([0, 1, 2, 3, 5, 16, 127, 128, 254, 255]))
        content = with_byte(content, (begin, end), data.draw(st.integers(4, end - begin - 1)), value)
    return content


def zipped_anew(content: bytes, data: st.DataObject) -> bytes:
    """The pickle within a file of torch's changed, and zipped with a right checksum."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as whole, zipfile.ZipFile(made, "w") as archive:
        for name in whole.namelist():
            inside = whole.read(name)
            archive.writestr(name, anywhere(inside, data) if name.endswith("data.pkl") else inside)
    return made.getvalue()


def with_another_header(content: bytes, data: st.DataObject) -> bytes:
    """The header of safetensors changed, and its length mended."""
    length = struct.unpack_from("<Q", content)[0]
    header = anywhere(content[8 : 8 + length], data)
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


@dataclass(frozen=True)
class Kind:
    """A kind of file: how one is made, how it is read, and how it is mutated."""

    make: Callable[[Path], Path]
    read: Callable[[Path], object]
    mutate: Mutate = anywhere


def text(name: str, content: str) -> Callable[[Path], Path]:
    return partial(seeds.a_text, name=name, text=content)


def picture(name: str, **how: object) -> Kind:
    return Kind(partial(seeds.a_picture, name=name, **how), lambda path: decode_rgb(path.read_bytes()))


ZIPPED = partial(seeds.a_released_checkpoint, zipped=True)
LABELS = "id,score,split\n" + "".join(f"{k}.jpg,0.{k},{('train', 'val', 'test')[k % 3]}\n" for k in range(1, 9))
TRIALS = "id,observer,trial,response\na.jpg,x,repeat,hit\na.jpg,y,foil,1\nb.jpg,x,foil,rejection\n"
RATINGS = "participant;stimulus;rating\r\n" + "".join(f"P{k % 6};{k // 6}.jpg;{k % 7},5\r\n" for k in range(72))
KINDS = {
    "collection": Kind(seeds.a_collection, seeds.read_collection, at_the_start),
    "collection, checksums mended": Kind(seeds.a_collection, seeds.read_collection, with_right_checksums),
    "collection, features and marks": Kind(seeds.a_collection, seeds.read_collection),
    "link": Kind(seeds.a_link, seeds.read_collection, at_the_start),
    "link, checksums mended": Kind(seeds.a_link, seeds.read_collection, with_right_checksums),
    "label table": Kind(text("l.csv", LABELS), lambda path: read_label_table(path.parent, path)),
    "trials": Kind(text("t.csv", TRIALS), read_trials),
    "label table, ratings": Kind(text("l.csv", RATINGS), lambda path: read_label_table(path.parent, path)),
    "label table, scores": Kind(
        text("l.csv", LABELS), lambda path: read_score_table(path, [f"{k}.jpg" for k in range(9)], Columns())
    ),
    "label table, Excel": Kind(seeds.a_workbook, lambda path: read_label_table(path.parent, path)),
    "label table, SPSS": Kind(seeds.a_file_of_spss, lambda path: read_label_table(path.parent, path)),
    "split list": Kind(text("train_1.txt", "a.jpg 0.5\nb.jpg 0.25\n"), read_list),
    "settings": Kind(seeds.a_config, read_config),
    "predictions": Kind(seeds.predictions, read_predictions),
    "head": Kind(seeds.a_head, load_head),
    "head, header": Kind(seeds.a_head, load_head, with_another_header),
    "state": Kind(seeds.a_state, seeds.read_state),
    "state, zipped anew": Kind(seeds.a_state, seeds.read_state, zipped_anew),
    "checkpoint": Kind(ZIPPED, seeds.read_checkpoint),
    "checkpoint, zipped anew": Kind(ZIPPED, seeds.read_checkpoint, zipped_anew),
    "checkpoint, older": Kind(partial(seeds.a_released_checkpoint, zipped=False), seeds.read_checkpoint),
    "study": Kind(seeds.a_study, seeds.read_study),
    "PNG": picture("p.png"),
    "JPEG": picture("p.jpg"),
    "progressive JPEG": picture("p.jpg", progressive=True),
    "TIFF": picture("p.tif", compression="tiff_lzw"),
    "WebP": picture("p.webp"),
    "GIF": picture("p.gif"),
    "BMP": picture("p.bmp"),
} | {
    name: Kind(partial(seeds.a_run, name=name), seeds.read_run) for name in (RUN, RESULT, LOG, DIVERGED)
} | {
    f"scores, {kind}": Kind(partial(seeds.a_table, kind=kind), partial(seeds.read_table, kind=kind))
    for kind in ("csv", "jsonl", "parquet")
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_a_mutated_file_is_read_or_refused_in_one_line(tmp_path, trial, name):
    kind = KINDS[name]
    (tmp_path / "whole").mkdir()
    whole = kind.make(tmp_path / "whole")
    kind.read(whole)
    content, reader = whole.read_bytes(), trial(name, kind.read)

    @settings(max_examples=EXAMPLES, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def mutated(data: st.DataObject) -> None:
        changed, folder = kind.mutate(content, data), tmp_path / "mutated"
        shutil.copytree(tmp_path / "whole", folder)
        (folder / whole.name).write_bytes(changed)
        try:
            reader.give(folder / whole.name)
        finally:
            shutil.rmtree(folder)

    mutated()
