"""What an extraction is to do, decided before computing."""

import dataclasses
import re

import numpy as np
import pytest

from amnet_common.datasets import load_dataset
from amnet_common.datasets.records import Dataset, SplitList
from amnet_common.errors import ConfigError, DatasetError, SpecError
from amnet_common.skeleton import create_skeleton
from amnet_common.writer import ImageFacts, RowWriter
from extract.job import Job, open_job, refuse_unknown_images, require_images

KERNELS = {"device": "cpu", "batch_size": 8}


@pytest.fixture
def begun(tmp_path, spec):
    """A collection of six rows: 0 failed, 1 done, the rest pending."""
    path, dataset = tmp_path / "t.h5", Dataset("test", tmp_path, tuple("abcdef"))
    create_skeleton(path, dataset, 2, spec, KERNELS, {})
    with RowWriter(path) as writer:
        writer.fail(0, ImageFacts(), "missing file")
        writer.finish(1, ImageFacts(), [[0] * 5] * 2)
    return path, dataset


@pytest.mark.parametrize(
    ("limit", "rows", "done", "failed", "beyond"),
    [
        (None, (2, 3, 4, 5), 1, 1, 0),
        (1, (), 0, 1, 4),
        (2, (), 1, 1, 4),
        (3, (2,), 1, 1, 3),
        (99, (2, 3, 4, 5), 1, 1, 0),
    ],
)
def test_begun_collection_is_continued_with_its_pending_rows(begun, spec, limit, rows, done, failed, beyond):
    path, dataset = begun
    assert open_job(path, dataset, spec, KERNELS, "w", limit) == Job(path, rows, done, failed, 6, beyond)


def test_new_collection_is_created_with_all_rows_to_do(tmp_path, spec):
    path = tmp_path / "new.h5"
    job = open_job(path, Dataset("test", tmp_path, ("a", "b")), spec, KERNELS, "w", None)
    assert job == Job(path, (0, 1), 0, 0, 2, 0)
    assert path.is_file()


@pytest.mark.parametrize("limit", [0, -3])
def test_limit_below_1_is_refused_before_anything_is_made(tmp_path, spec, limit):
    with pytest.raises(ConfigError, match=f"--limit: wanted 1 or more, found {limit}"):
        open_job(tmp_path / "t.h5", Dataset("test", tmp_path, ("a",)), spec, KERNELS, "w", limit)
    assert not (tmp_path / "t.h5").exists()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("seed", 1, "seed: wanted 1, found 0"),
        ("view_plan", {"name": "t", "augs": 10}, "view_plan.augs: wanted 10, found 1"),
        ("weights_sha256", "ff", f"weights_sha256: wanted ff, found {'00' * 32}"),
        ("precision", "bfloat16", "precision: wanted bfloat16, found float32"),
    ],
)
def test_other_settings_are_refused_by_name(begun, spec, field, value, message):
    path, dataset = begun
    with pytest.raises(SpecError, match=re.escape(f"--out {path} exists and holds another extraction: {message}. Use")):
        open_job(path, dataset, dataclasses.replace(spec, **{field: value}), KERNELS, "w", None)


def test_other_images_are_refused_with_their_rosters(begun, spec):
    path, dataset = begun
    message = r"images: wanted 2 ids of roster \w+, found 6 of roster \w+. Use the settings it was begun with"
    with pytest.raises(SpecError, match=message):
        open_job(path, dataclasses.replace(dataset, ids=("a", "z")), spec, KERNELS, "w", None)


OTHER_KERNELS = KERNELS | {"batch_size": 4}


def test_other_kernels_are_refused_by_name_while_rows_are_left(begun, spec):
    path, dataset = begun
    message = (
        f"--out {path} was begun on another kernel path .*: batch_size: wanted 8, found 4. .*--allow-other-kernels"
    )
    with pytest.raises(SpecError, match=message):
        open_job(path, dataset, spec, OTHER_KERNELS, "w", None)


@pytest.mark.parametrize(("limit", "allowed", "rows"), [(None, True, (2, 3, 4, 5)), (2, False, ())])
def test_other_kernels_are_taken_when_allowed_or_nothing_is_left(begun, spec, limit, allowed, rows):
    path, dataset = begun
    assert open_job(path, dataset, spec, OTHER_KERNELS, "w", limit, allowed).rows == rows


@pytest.mark.parametrize("names", [("a.jpg",), ("n" * 300 + ".jpg", "b.jpg")])
def test_root_without_any_of_the_images_is_refused(tmp_path, names):
    message = f"--dataset test: wanted images such as {tmp_path / names[0]}, found none of {len(names)}; say where with"
    with pytest.raises(DatasetError, match=re.escape(message)):
        require_images(Dataset("test", tmp_path, names))


def test_one_image_that_is_there_is_enough(pictures):
    dataset = pictures(1)
    assert require_images(dataclasses.replace(dataset, ids=("gone.png", *dataset.ids))) is None
    assert load_dataset("folder", dataset.image_root).ids == dataset.ids


def dataset_of_two_splits(tmp_path, **lists):
    """Images 0 to 3; files for 0 to 2."""
    for row in range(3):
        (tmp_path / f"{row}.jpg").touch()
    splits = {name: SplitList(np.array(rows), np.full(len(rows), 0.5)) for name, rows in lists.items()}
    return Dataset("lamem", tmp_path, tuple(f"{row}.jpg" for row in range(4)), splits)


def test_an_image_that_one_split_alone_names_and_no_file_answers_is_refused(tmp_path):
    dataset = dataset_of_two_splits(tmp_path, train_1=[0, 1], test_1=[2], train_2=[1, 2], test_2=[0, 3])
    with pytest.raises(DatasetError, match=r"split test_2 names the unknown image '3\.jpg': wanted a file in"):
        refuse_unknown_images(dataset)


def test_a_missing_file_that_every_split_names_is_not_refused(tmp_path):
    dataset = dataset_of_two_splits(tmp_path, train_1=[0], test_1=[1, 2, 3], train_2=[1], test_2=[0, 2, 3])
    assert refuse_unknown_images(dataset) is None


def test_failed_rows_are_tried_again_when_asked(begun, spec):
    path, dataset = begun
    job = open_job(path, dataset, spec, KERNELS, "w", None, retry_failed=True)
    assert (job.rows, job.failed) == ((0, 2, 3, 4, 5), 0)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"scores": np.full(6, 0.5)}, "scores: changed since"),
        ({"splits": {"test_1": SplitList(np.arange(2), np.ones(2))}}, r"splits: wanted \['test_1'\], found \[\]"),
    ],
)
def test_other_scores_and_splits_than_those_in_the_file_are_refused(begun, spec, field, message):
    path, dataset = begun
    with pytest.raises(SpecError, match=message):
        open_job(path, dataclasses.replace(dataset, **field), spec, KERNELS, "w", None)
