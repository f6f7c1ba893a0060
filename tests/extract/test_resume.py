"""The same command again goes on, whatever stopped it; another command is refused, or begins anew when told to."""

import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from amnet_common.collection import Collection
from amnet_common.collection.writer import RowWriter
from amnet_common.errors import CollectionError
from extract import opening


@pytest.mark.parametrize("broken", [(), (0, 4)])
def test_same_command_computes_only_what_is_missing_to_the_bytes_of_one_run(pictures, extract, unlike_rows, broken):
    dataset = pictures(6, broken)
    whole, first, rest = extract(dataset, "--out", "whole.h5"), extract(dataset, "--limit", 2), extract(dataset)
    assert first.views + rest.views == whole.views == 2 * (6 - len(broken))
    assert unlike_rows("t.h5", "whole.h5") == []


def test_finished_file_is_not_touched_again(pictures, extract, tmp_path):
    dataset = pictures(3, broken=(1,))
    extract(dataset)
    before, found = (tmp_path / "t.h5").stat(), (tmp_path / "t.h5").read_bytes()
    again = extract(dataset)
    assert ((tmp_path / "t.h5").stat().st_mtime_ns, (tmp_path / "t.h5").read_bytes()) == (before.st_mtime_ns, found)
    assert (again.status, again.views) == (1, 0)
    assert "2 images done (0 now), 1 failed, 0 pending, nothing to do" in again.stdout
    assert again.stderr == "note: 1 images failed before; --retry-failed tries them again\n"


@pytest.mark.parametrize("table", ["images", "checksums", "views"])
def test_row_whose_mark_is_damaged_is_computed_again(pictures, extract, tmp_path, unlike_rows, flip, table):
    dataset = pictures(3)
    extract(dataset)
    extract(dataset, "--out", "whole.h5")
    part = Collection(tmp_path / "t.h5").parts[0]
    extent = part.structure.images if table == "images" else getattr(part.planes, table)
    flip(tmp_path / "t.h5", extent.at(1) + extent.row_bytes - 2)
    assert unlike_rows("t.h5", "whole.h5") == [1]
    again = extract(dataset)
    assert (again.views, "3 images done (1 now)" in again.stdout, unlike_rows("t.h5", "whole.h5")) == (2, True, [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seed", 7), "seed: expected 7, found 0"),
        (("--augs", 2), "view_plan.augs: expected 2, found 1"),
        (("--plan", "squash"), "view_plan.name: expected squash, found standard"),
        (("--dtype", "uint8"), "dtype: expected uint8, found float16"),
        (("--precision", "float16"), "precision: expected float16, found bfloat16"),
        (("--weights", "imagenet1k-v2"), "weights_sha256: expected "),
        (("--batch-size", 5), "batch_size: expected 8, found 5"),
        (("--threads", 2), "threads: expected 1, found 2"),
    ],
)
def test_another_command_is_refused_with_the_differing_field(pictures, extract, tmp_path, options, message):
    dataset = pictures(3)
    extract(dataset, "--limit", 2, "--precision", "bfloat16", "--threads", 1)
    before = (tmp_path / "t.h5").read_bytes()
    other = extract(dataset, *options)
    assert (other.status, other.stdout, other.views) == (2, "", 0)
    assert re.fullmatch(rf"main: --out t\.h5 [^\n]*{re.escape(message)}[^\n]*\n", other.stderr)
    assert (tmp_path / "t.h5").read_bytes() == before


def test_kernels_of_a_finished_file_do_not_matter(pictures, extract):
    dataset = pictures(2)
    extract(dataset)
    assert extract(dataset, "--batch-size", 5).status == 0


def test_other_kernels_fill_the_rest_when_allowed_and_each_row_tells(pictures, extract):
    dataset = pictures(3)
    extract(dataset, "--limit", 2)
    assert extract(dataset, "--batch-size", 5, "--allow-other-kernels").status == 0
    kernels = Collection("t.h5").images["kernels"].tolist()
    assert kernels[0] == kernels[1] != kernels[2] != 0


def test_what_the_command_leaves_open_is_as_in_the_file(pictures, extract, monkeypatch):
    dataset, batches = pictures(4), []
    extract(dataset, "--limit", 2, "--precision", "float16", "--batch-size", 5, "--threads", 1)

    class Noting(opening.FrozenTrunk):
        def __call__(self, pixels):
            batches.append((self.compute.precision, self.compute.batch_size, self.compute.threads))
            return super().__call__(pixels)

    monkeypatch.setattr(opening, "FrozenTrunk", Noting)
    monkeypatch.setattr("extract.compute.CPU_BATCH", 2)
    monkeypatch.setattr("extract.compute._fastest_precision", lambda _: "float32")
    torch.set_num_threads(2)
    try:
        assert extract(dataset).status == 0
        assert set(batches) == {("float16", 5, 1)}
    finally:
        torch.set_num_threads(1)


def test_whether_to_compile_is_decided_by_the_whole_file_and_kept(pictures, extract, monkeypatch):
    monkeypatch.setattr("extract.compute.compiler_works", lambda _: True)
    monkeypatch.setattr("extract.compute.PAYS_FROM", {"cpu": 8})
    dataset = pictures(4)  # of two views
    first = extract(dataset, "--limit", 1)
    assert ("compiled in" in first.stderr, Collection("t.h5").kernel_path["mode"]) == (True, "compiled")
    monkeypatch.setattr("extract.compute.PAYS_FROM", {"cpu": 9})
    rest = extract(dataset)
    assert (rest.status, "compiled in" in rest.stderr) == (0, True)
    other = extract(dataset, "--out", "eager.h5", "--limit", 1)
    assert ("compiled in" in other.stderr, Collection("eager.h5").kernel_path["mode"]) == (False, "eager")


def test_compiled_file_is_not_gone_on_with_where_there_is_no_compiler(pictures, extract, monkeypatch):
    monkeypatch.setattr("extract.compute.compiler_works", lambda _: True)
    dataset = pictures(2)
    extract(dataset, "--limit", 1, "--compile")
    monkeypatch.setattr("extract.compute.compiler_works", lambda _: False)
    found = extract(dataset)
    assert (found.status, "mode: expected compiled, found eager" in found.stderr) == (2, True)
    assert extract(dataset, "--allow-other-kernels").status == 0


def test_other_images_scores_and_splits_are_refused(pictures, extract, tmp_path):
    dataset = pictures(3)
    labels = tmp_path / "labels.csv"
    labels.write_text("id,score,split\n000.png,0.1,train\n001.png,0.2,val\n")

    def again():
        return extract(dataset, "--labels", labels, layout="csv")

    assert again().status == 0
    for table, message in {
        "id,score,split\n000.png,0.1,train\n001.png,0.3,val\n": "scores: changed since; split val_1: changed since",
        "id,score,split\n000.png,0.1,train\n001.png,0.2,test\n": "splits: expected ['test_1', 'train_1'], ",
        "id,score,split\n000.png,0.1,train\n": "images: expected 1 ids of the image list ",
    }.items():
        labels.write_text(table)
        assert (again().status, message in again().stderr) == (2, True)


def test_weights_of_a_file_are_known_by_their_bytes_or_else_by_their_tensors(pictures, extract, tmp_path):
    dataset, file, copy = pictures(2), tmp_path / "w.safetensors", tmp_path / "copy.safetensors"
    save_file({"w": torch.ones(2)}, file)
    extract(dataset, "--weights", file)
    save_file({"w": torch.ones(2)}, copy, {"other": "metadata"})
    for same in (file, copy):
        assert "2 images done (0 now), 0 failed, 0 pending, nothing to do" in extract(dataset, "--weights", same).stdout
    save_file({"w": torch.zeros(2)}, file)
    other = extract(dataset, "--weights", file)
    assert (other.status, "weights_sha256: expected " in other.stderr) == (2, True)


CHILD = """
import sys
from extract.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    print(end.code, *({"torch", "torchvision"} & sys.modules.keys()))
"""


@pytest.mark.parametrize("weights", ["untrained", "w.safetensors"])
def test_finished_file_is_nothing_to_do_without_torch(pictures, extract, weights):
    dataset = pictures(2)
    save_file({"w": torch.ones(2)}, "w.safetensors")
    extract(dataset, "--weights", weights, "--augs", 1)
    args = ["--dataset", "folder", "--root", "pictures", "--out", "t.h5", "--weights", weights, "--augs", "1"]
    child = subprocess.run(
        [sys.executable, "-c", CHILD, *args], capture_output=True, text=True, check=True, timeout=300
    )
    size = os.path.getsize("t.h5") / 1e9
    summary = f"t.h5: 2 images done (0 now), 0 failed, 0 pending, nothing to do, {size:.2f} GB\n"
    assert (child.stdout, child.stderr) == (f"{summary}0\n", "")


def test_file_that_appears_while_the_network_is_loaded_is_gone_on_with(pictures, extract, monkeypatch, unlike_rows):
    dataset, load = pictures(4), opening.load_weights

    def load_slowly(source, *more):
        monkeypatch.setattr(opening, "load_weights", load)
        assert extract(dataset, "--limit", 3).views == 6
        return load(source, *more)

    monkeypatch.setattr(opening, "load_weights", load_slowly)
    late = extract(dataset)
    assert (late.status, late.views) == (0, 6 + 2)  # those of the other, and what was left
    assert "4 images done (1 now), 0 failed, 0 pending" in late.stdout
    extract(dataset, "--out", "whole.h5")
    assert unlike_rows("t.h5", "whole.h5") == []


def test_file_of_other_settings_that_appears_meanwhile_is_refused(pictures, extract, monkeypatch):
    dataset, load = pictures(2), opening.load_weights

    def load_slowly(source, *more):
        monkeypatch.setattr(opening, "load_weights", load)
        extract(dataset, "--seed", 5)
        return load(source, *more)

    monkeypatch.setattr(opening, "load_weights", load_slowly)
    late = extract(dataset)
    assert (late.status, "holds another extraction: seed: expected 0, found 5." in late.stderr) == (2, True)
    assert Collection("t.h5").spec.seed == 5


def test_collection_that_is_begun_anew_meanwhile_is_not_filled_with_other_features(pictures, extract, monkeypatch):
    dataset, load = pictures(3), opening.load_weights
    extract(dataset, "--limit", 1)

    def load_slowly(source, *more):
        monkeypatch.setattr(opening, "load_weights", load)
        extract(dataset, "--limit", 1, "--overwrite", "--seed", 5)
        return load(source, *more)

    monkeypatch.setattr(opening, "load_weights", load_slowly)
    late = extract(dataset)
    assert (late.status, "another process has begun it anew; run the command again" in late.stderr) == (75, True)
    assert Collection("t.h5").status.tolist() == [1, 0, 0]


def test_rows_that_another_process_fills_meanwhile_are_counted_as_done(pictures, extract, monkeypatch):
    dataset, load = pictures(3), opening.load_weights
    extract(dataset, "--limit", 1)

    def load_slowly(source, *more):
        monkeypatch.setattr(opening, "load_weights", load)
        extract(dataset)
        return load(source, *more)

    monkeypatch.setattr(opening, "load_weights", load_slowly)
    late = extract(dataset)
    assert (late.status, "t.h5: 3 images done (0 now), 0 failed, 0 pending" in late.stdout) == (0, True)


def test_overwriting_begins_a_new_collection(pictures, extract):
    dataset = pictures(2)
    extract(dataset)
    old = Collection("t.h5")
    anew = extract(dataset, "--overwrite", "--seed", 1, "--limit", 1)
    new = Collection("t.h5")
    assert (anew.status, "1 images done (1 now), 0 failed, 1 pending" in anew.stdout) == (0, True)
    assert (new.uuid != old.uuid, new.spec.seed, new.status.tolist()) == (True, 1, [1, 0])


@pytest.mark.parametrize("read_before", [False, True])
def test_reader_of_a_collection_that_was_overwritten_notices(pictures, extract, read_before):
    dataset = pictures(2)
    extract(dataset)
    old = Collection("t.h5")
    wanted = old.read(0, 1, check=True) if read_before else None
    extract(dataset, "--overwrite", "--seed", 1)
    message = "t.h5: expected the file that was opened, found another of its name: it was replaced meanwhile; open it"
    with pytest.raises(CollectionError, match=message):
        old.refresh()
    if read_before:  # the open file is still the old one
        np.testing.assert_array_equal(old.read(0, 1, check=True), wanted)
    else:
        with pytest.raises(CollectionError, match=message):
            old.read(0)


def test_overwriting_with_unusable_weights_keeps_the_old_collection(pictures, extract, tmp_path, monkeypatch):
    dataset = pictures(2)
    extract(dataset)
    before = (tmp_path / "t.h5").read_bytes()
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.pth").write_bytes(b"no weights")
    assert extract(dataset, "--overwrite", "--weights", tmp_path / "bad.pth").status == 2
    assert ((tmp_path / "t.h5").read_bytes(), sorted(os.listdir(tmp_path))) == (before, ["bad.pth", "pictures", "t.h5"])


def test_overwriting_is_refused_for_other_files_and_with_shards(pictures, extract, tmp_path):
    dataset = pictures(2)
    (tmp_path / "thesis.txt").write_text("all of it")
    other = extract(dataset, "--overwrite", "--out", "thesis.txt")
    assert (other.status, (tmp_path / "thesis.txt").read_text()) == (2, "all of it")
    message = r"main: --overwrite throws away collections only: thesis\.txt: [^\n]*; remove the file yourself\n"
    assert re.fullmatch(message, other.stderr)
    sharded = extract(dataset, "--overwrite", "--shard", "1/2")
    message = "main: --overwrite with --shard: each process would throw away the file of the others; remove it once, "
    assert (sharded.status, sharded.stderr) == (2, message + "then start them\n")


@pytest.mark.parametrize("late", [False, True])
def test_overwriting_is_refused_while_another_process_writes(pictures, extract, tmp_path, monkeypatch, late):
    dataset, load, writers = pictures(2), opening.load_weights, []
    extract(dataset, "--limit", 1)
    before = (tmp_path / "t.h5").read_bytes()

    def load_slowly(source, *more):
        writers.append(RowWriter(tmp_path / "t.h5", 1))
        return load(source, *more)

    if late:
        monkeypatch.setattr(opening, "load_weights", load_slowly)
    else:
        writers.append(RowWriter(tmp_path / "t.h5", 1))
    refused = extract(dataset, "--overwrite")
    with writers[0]:
        message = "t.h5: expected rows 0 to 1 for this process alone, found another writing there; wait, or "
        assert (refused.status, message in refused.stderr) == (75, True)
        assert (tmp_path / "t.h5").read_bytes() == before


def test_out_may_be_a_symbolic_link_to_another_disk(pictures, extract, tmp_path):
    dataset = pictures(2)
    (tmp_path / "disk").mkdir()
    (tmp_path / "t.h5").symlink_to("disk/real.h5")
    assert extract(dataset, "--limit", 1).status == extract(dataset).status == 0
    first = Collection(tmp_path / "disk" / "real.h5")
    assert extract(dataset, "--overwrite").status == 0
    again = Collection(tmp_path / "disk" / "real.h5")
    assert ((tmp_path / "t.h5").is_symlink(), first.uuid != again.uuid) == (True, True)
    assert again.status.tolist() == [1, 1]


def test_out_that_links_to_itself_is_one_line(pictures, extract, tmp_path):
    (tmp_path / "t.h5").symlink_to("t.h5")
    refused = extract(pictures(1))
    assert (refused.status, refused.stderr.count("\n"), "--out " in refused.stderr) == (2, 1, True)


def test_failed_images_are_tried_again_when_asked_and_only_they(pictures, extract, draw, unlike_rows):
    dataset = pictures(4, broken=(1, 3))
    extract(dataset)
    draw(dataset.image_root / "001.png")
    noted = extract(dataset)
    assert (noted.status, noted.views) == (1, 0)
    assert noted.stderr == "note: 1 of the failed images have other files now; --update tries these again\n"
    again = extract(dataset, "--retry-failed")
    assert (again.status, again.views) == (1, 2)
    assert "3 images done (1 now), 1 failed, 0 pending" in again.stdout
    assert again.stderr.endswith("failed: 003.png: not an image that Pillow can identify\n")
    extract(dataset, "--out", "whole.h5")
    assert unlike_rows("t.h5", "whole.h5") == []


@pytest.mark.parametrize(
    ("options", "again"),
    [((), "the same command again"), (("--overwrite",), "the same command without --overwrite")],
)
def test_interrupt_between_rows_keeps_what_is_finished(pictures, extract, monkeypatch, options, again):
    dataset, load = pictures(6), opening.FrozenTrunk

    class Stopping(load):
        def __call__(self, pixels):
            if len(self.batches) == 2:
                time.sleep(0.05)
                raise KeyboardInterrupt
            return super().__call__(pixels)

    monkeypatch.setattr(opening, "FrozenTrunk", Stopping)
    stopped = extract(dataset, "--batch-size", 3, *options)
    assert stopped.status == 130
    assert stopped.stderr.endswith(f"main: interrupted. t.h5 keeps what is finished; {again} goes on from there\n")
    done = int((Collection("t.h5").status == 1).sum())
    monkeypatch.setattr(opening, "FrozenTrunk", load)
    rest = extract(dataset)
    assert (rest.status, rest.views) == (0, 2 * (6 - done))
