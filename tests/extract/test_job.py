"""What a request leaves to do, decided by looking at the disk, before torch is loaded."""

import dataclasses
import hashlib
import os
import re

import numpy as np
import pytest

from amnet_common.collection import Collection
from amnet_common.collection.joining import link
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.spec import Spec
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import load_dataset
from amnet_common.datasets.records import Dataset, SplitList
from amnet_common.errors import BusyError, CollectionError, ConfigError, DatasetError, SpecError
from extract.changes import Changes
from extract.cli import nothing_to_do
from extract.crops import ViewPlan, view_plan
from extract.found import look, look_at_images, unknown_image
from extract.job import PIXELS, TRUNK, Job, decide, refuse_missing_images, refuse_other_kernels
from extract.request import Request

PLAN = ViewPlan(augs=1)
SPEC = Spec(TRUNK, "torchvision", "00" * 32, PIXELS, PLAN.as_spec(), 0, "float32", "float16")
KERNELS = {"device": "cpu", "batch_size": 8}


def find_job(request, planned=False):
    """Look, then decide, as the command does."""
    return decide(request, look(request), planned)


@pytest.fixture
def begun(tmp_path):
    """A request for a collection of six rows: 0 failed, 1 done, the rest pending. Its images are there, but 0."""
    dataset = Dataset("test", tmp_path, tuple("abcdef"))
    for id_ in dataset.ids[1:]:
        (tmp_path / id_).write_bytes(b"x")
    request = Request(tmp_path / "t.h5", dataset, "untrained", PLAN)
    create_skeleton(request.out, dataset, 2, SPEC, KERNELS, {"weights": "untrained"})
    facts = ImageFacts(hashlib.sha256(b"x").digest(), 1, (tmp_path / "b").stat().st_mtime_ns)
    with RowWriter(request.out) as writer:
        writer.fail(0, ImageFacts(), "missing file")
        writer.finish(1, facts, [[0] * 5] * 2)
    return request


def found(request, **changes) -> Job:
    """The job without what is compared elsewhere."""
    job = find_job(dataclasses.replace(request, **changes))
    return dataclasses.replace(job, request=None, collection=None)


@pytest.mark.parametrize(("limit", "rows"), [(None, (2, 3, 4, 5)), (1, ()), (2, ()), (3, (2,)), (99, (2, 3, 4, 5))])
def test_begun_collection_is_continued_with_its_pending_rows(begun, limit, rows):
    assert found(begun, limit=limit) == Job(None, None, rows, failed=1)


def test_row_whose_mark_is_damaged_counts_as_pending(begun):
    images = Collection(begun.out).parts[0].structure.images
    with open(begun.out, "r+b") as file:
        file.seek(images.at(1) + images.dtype.fields["width"][1])
        file.write(b"\x01")
    assert found(begun) == Job(None, None, (1, 2, 3, 4, 5), failed=1)


def test_new_collection_has_all_rows_to_do_and_is_not_made_yet(begun):
    begun.out.unlink()
    job = find_job(begun)
    assert (job.collection, job.rows) == (None, tuple(range(6)))
    assert not begun.out.exists()


@pytest.mark.parametrize("limit", [0, -3])
def test_limit_below_1_is_refused(begun, limit):
    with pytest.raises(ConfigError, match=f"--limit: expected 1 or more, found {limit}"):
        dataclasses.replace(begun, limit=limit)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("seed", 1, "seed: expected 1, found 0"),
        ("plan", ViewPlan(10), "view_plan.augs: expected 10, found 1"),
        (
            "plan",
            view_plan("squash264", 1),
            "view_plan.frame: expected 264, found None; view_plan.name: expected squash264, found standard; "
            "view_plan.short_side: expected None, found 256",
        ),
        ("dtype", "uint8", "dtype: expected uint8, found float16"),
        ("precision", "bfloat16", "precision: expected bfloat16, found float32"),
    ],
)
def test_other_settings_are_refused_by_name(begun, field, value, message):
    message = f"--out {begun.out} exists and holds another extraction: {message}. Use"
    with pytest.raises(SpecError, match=re.escape(message)):
        find_job(dataclasses.replace(begun, **{field: value}))


def test_automatic_precision_is_that_of_the_file(begun):
    assert begun.precision == "auto"
    assert found(begun) == found(begun, precision="float32")


def test_every_difference_is_named_at_once(begun):
    other = dataclasses.replace(begun, seed=1, dtype="uint8", plan=ViewPlan(2))
    with pytest.raises(
        SpecError, match=r"dtype: .* found float16; seed: .* found 0; view_plan\.augs: .* found 1\. Use"
    ):
        find_job(other)


@pytest.mark.parametrize(
    ("ids", "what"),
    [
        (("a", "z"), "found 6 of the image list \\w+, which has b. Use"),
        ("fedcba", "found 6 of the image list \\w+, the same in another order. Use"),
        (
            "abcdefgh",
            r"found 6 of the image list \w+, without g and others \(--only-begun leaves newer images out, "
            "--except {out}",
        ),
    ],
)
def test_other_images_are_refused_with_an_example_and_what_to_do(begun, ids, what):
    other = dataclasses.replace(begun.dataset, ids=tuple(ids))
    message = rf"images: expected {len(ids)} ids of the image list \w+, " + what.format(out=re.escape(str(begun.out)))
    with pytest.raises(SpecError, match=message):
        find_job(dataclasses.replace(begun, dataset=other))


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"scores": np.full(6, 0.5)}, "scores: changed since"),
        ({"splits": {"test_1": SplitList(np.arange(2), np.ones(2))}}, r"splits: expected \['test_1'\], found \[\]"),
    ],
)
def test_other_scores_and_splits_than_those_in_the_file_are_refused(begun, field, message):
    other = dataclasses.replace(begun.dataset, **field)
    with pytest.raises(SpecError, match=message) as refused:
        find_job(dataclasses.replace(begun, dataset=other))
    assert f". Use amnet-cache relabel {begun.out} --labels TABLE --out NEW.h5 to give" in str(refused.value)
    assert "--overwrite" not in str(refused.value)
    with pytest.raises(SpecError, match="or --overwrite to throw it away") as refused:
        find_job(dataclasses.replace(begun, dataset=other, seed=1))
    assert "relabel" not in str(refused.value)


@pytest.mark.parametrize(
    "split", [SplitList(np.arange(2)[::-1], np.ones(2)), SplitList(np.arange(2), np.array([1, 0.5]))]
)
def test_split_list_of_other_rows_or_scores_is_refused_by_name(begun, split):
    scores = np.zeros(6)
    first = dataclasses.replace(begun.dataset, splits={"test_1": SplitList(np.arange(2), np.ones(2))}, scores=scores)
    create_skeleton(begun.out.with_name("s.h5"), first, 2, SPEC, KERNELS, {})
    request = dataclasses.replace(begun, out=begun.out.with_name("s.h5"), dataset=first)
    assert len(find_job(request).rows) == 6
    with pytest.raises(SpecError, match=r"another extraction: split test_1: changed since\. Use"):
        find_job(dataclasses.replace(request, dataset=dataclasses.replace(first, splits={"test_1": split})))


@pytest.mark.parametrize(("limit", "weights", "nothing"), [(2, "untrained", True), (2, "imagenet1k-v1", False),
                                                           (3, "untrained", False)])  # fmt: skip
def test_nothing_is_to_do_only_without_rows_and_with_the_very_weights(begun, limit, weights, nothing):
    assert nothing_to_do(find_job(dataclasses.replace(begun, limit=limit, weights=weights))) is nothing


def test_failed_rows_are_tried_again_when_asked(begun):
    assert found(begun, retry_failed=True) == Job(None, None, (0, 2, 3, 4, 5))


def test_failed_row_whose_file_is_there_now_is_tried_again_with_update_alone(begun, tmp_path):
    (tmp_path / "a").write_bytes(b"mended")
    changes = Changes(failed=(0,))
    assert found(begun) == Job(None, None, (2, 3, 4, 5), failed=1, changes=changes)
    assert found(begun, update=True) == Job(None, None, (0, 2, 3, 4, 5), changes=changes)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: open(path, "w").close()])
def test_failed_row_whose_file_is_none_that_could_be_read_stays_failed(begun, tmp_path, make):
    make(tmp_path / "a")
    assert found(begun, update=True).changes == found(begun, rehash=True).changes == Changes()


def test_other_kernels_are_refused_by_name(begun):
    message = (f"--out {begun.out} was begun on another kernel path .*: batch_size: expected 8, found 4. .*"
               "--allow-other-kernels")  # fmt: skip
    with pytest.raises(SpecError, match=message):
        refuse_other_kernels(Collection(begun.out), KERNELS | {"batch_size": 4})


@pytest.mark.parametrize("planned", [False, True])
def test_root_without_any_of_the_images_is_refused_unless_only_planned(tmp_path, planned):
    for names in (("a.jpg",), ("n" * 300 + ".jpg", "b.jpg")):
        request = Request(tmp_path / "t.h5", Dataset("test", tmp_path, names), "untrained")
        if planned:
            assert len(find_job(request, planned=True).rows) == len(names)
            continue
        message = (
            f"--dataset test: expected images such as {tmp_path / names[0]}, found none of {len(names)}; say where"
        )
        with pytest.raises(DatasetError, match=re.escape(message)):
            find_job(request)


def test_one_image_that_is_there_is_enough(pictures):
    dataset = pictures(1)
    assert look_at_images(dataclasses.replace(dataset, ids=("gone.png", *dataset.ids))).any
    assert load_dataset("folder", dataset.image_root).ids == dataset.ids


def test_linked_collection_is_not_filled_and_its_parts_are_named(begun):
    out = begun.out.with_name("linked.h5")
    link([begun.out], out)
    message = (
        f"--out {out}: expected a file with features of its own, found a linked collection; fill its parts instead: "
    )
    with pytest.raises(CollectionError, match=re.escape(message + str(begun.out))):
        find_job(dataclasses.replace(begun, out=out))
    with pytest.raises(CollectionError, match=r"found a linked one; .*; remove the file yourself"):
        find_job(dataclasses.replace(begun, out=out, overwrite=True))


def test_overwriting_is_refused_while_another_process_writes(begun):
    overwrite = dataclasses.replace(begun, overwrite=True)
    with RowWriter(begun.out, 5), pytest.raises(BusyError, match=f"{begun.out}: expected rows 0 to 5 for this process"):
        find_job(overwrite)
    assert (find_job(overwrite).collection, find_job(overwrite).rows) == (None, tuple(range(6)))


@pytest.mark.parametrize("content", [b"", b"my thesis", b"\x89HDF\r\n\x1a\n" + bytes(500)])
def test_overwriting_is_refused_where_the_file_is_no_collection(begun, content):
    begun.out.write_bytes(content)
    message = f"--overwrite throws away collections only: {begun.out}: expected a collection, found .*; remove the file"
    with pytest.raises(CollectionError, match=message):
        find_job(dataclasses.replace(begun, overwrite=True))
    assert begun.out.read_bytes() == content


def dataset_of_two_splits(tmp_path, **lists):
    """Images 0 to 3; files for 0 to 2."""
    for row in range(3):
        (tmp_path / f"{row}.jpg").touch()
    splits = {name: SplitList(np.array(rows), np.full(len(rows), 0.5)) for name, rows in lists.items()}
    return Dataset("lamem", tmp_path, tuple(f"{row}.jpg" for row in range(4)), splits)


def test_an_image_that_one_split_alone_names_and_no_file_answers_is_refused(tmp_path):
    dataset = dataset_of_two_splits(tmp_path, train_1=[0, 1], test_1=[2], train_2=[1, 2], test_2=[0, 3])
    with pytest.raises(DatasetError, match=r"split test_2 names the unknown image '3\.jpg': expected a file in"):
        refuse_missing_images(dataset, look_at_images(dataset))


def test_a_missing_file_that_every_split_names_is_not_refused(tmp_path):
    dataset = dataset_of_two_splits(tmp_path, train_1=[0], test_1=[1, 2, 3], train_2=[1], test_2=[0, 2, 3])
    assert unknown_image(dataset) is None
