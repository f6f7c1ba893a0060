"""uint8: scales fixed by a seeded sample before the first feature is stored; what is clipped is counted."""

import dataclasses
import re

import numpy as np
import pytest

from amnet_common.collection import Collection
from amnet_common.collection.quantise import dequantise
from amnet_common.errors import DatasetError
from extract import scales as scales_module
from extract.crops import ViewPlan
from extract.pipeline import Cutter
from extract.scales import sample_rows, sample_scales

PLAN = ViewPlan(augs=4)


def test_scales_are_the_largest_values_of_two_views_of_each_sampled_image(pictures, trunk, monkeypatch):
    cutter = Cutter(pictures(6, broken=(2,)), PLAN, seed=1)
    monkeypatch.setattr(scales_module, "SAMPLE_IMAGES", 3)
    taken = [row for row in sample_rows(6, 1) if row != 2][:3]
    pixels = np.concatenate([cutter(row).pixels[:2] for row in taken])
    wanted = trunk(pixels).features.astype(np.float32).max((0, 1, 2)) / np.float32(255)
    np.testing.assert_array_equal(sample_scales(cutter, trunk, 4), wanted)


@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_scales_do_not_depend_on_the_batch(pictures, trunk, batch_size):
    cutter = Cutter(pictures(4), PLAN, 0)
    np.testing.assert_array_equal(sample_scales(cutter, trunk, batch_size), sample_scales(cutter, trunk, 2))


def test_no_more_images_are_read_than_the_sample_wants(pictures, trunk, monkeypatch):
    read = []

    class Noting(Cutter):
        def __call__(self, row):
            read.append(row)
            return super().__call__(row)

    monkeypatch.setattr(scales_module, "SAMPLE_IMAGES", 2)
    sample_scales(Noting(pictures(9, broken=(0, 1)), PLAN, 0), trunk, 4)
    assert read == list(sample_rows(9, 0))[: len(read)]
    assert len(set(read) - {0, 1}) == 2


def test_sample_is_of_the_seed_and_covers_all_rows():
    assert list(sample_rows(50, 1)) == list(sample_rows(50, 1)) != list(sample_rows(50, 2))
    assert sorted(sample_rows(50, 1)) == list(range(50))


def test_views_that_are_not_finite_do_not_count(pictures, trunk):
    cutter = Cutter(pictures(3), PLAN, 0)
    wanted = sample_scales(cutter, trunk, 100)

    def poisoned(pixels):
        encoded = trunk(pixels)
        bad = dataclasses.replace(cutter, plan=ViewPlan(0))(1).pixels  # a view of the sample
        finite = np.array([not np.array_equal(view, bad[0]) for view in pixels])
        encoded.features[~finite] = np.inf
        return encoded._replace(finite=finite)

    found = sample_scales(cutter, poisoned, 100)
    assert np.isfinite(found).all()
    assert (found <= wanted).all()


def test_no_readable_image_is_refused_with_one_line_and_no_file(pictures, extract, tmp_path):
    dataset = pictures(3, broken=(0, 1, 2))
    refused = extract(dataset, "--dtype", "uint8")
    message = f"--dtype uint8: expected readable images to fix the scales with, found none below {dataset.image_root}"
    assert (refused.status, refused.stdout, refused.stderr) == (2, "", f"main: {message}\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pictures"]
    with pytest.raises(DatasetError, match=re.escape(message)):
        sample_scales(Cutter(dataset, PLAN, 0), None, 4)


def test_codes_are_at_most_half_a_scale_from_the_features(pictures, extract):
    dataset = pictures(5, broken=(1,))
    assert extract(dataset, "--out", "floats.h5").status == extract(dataset, "--dtype", "uint8").status == 1
    floats, codes = Collection("floats.h5"), Collection("t.h5")
    assert (codes.dtype, codes.status.tolist(), codes.spec.dtype) == (np.uint8, floats.status.tolist(), "uint8")
    rows, views = [0, 2, 3, 4] * 2, [0] * 4 + [1] * 4
    wanted, found = floats.read_dequantised(rows, views), codes.read_dequantised(rows, views, check=True)
    assert (np.abs(wanted - found) <= 0.5001 * codes.scales).all()
    assert codes.images["clipped"].sum() == 0  # two views of every image made the sample: nothing can be above


def test_values_above_the_sample_are_clipped_counted_and_reported(pictures, extract, monkeypatch):
    monkeypatch.setattr(scales_module, "SAMPLE_IMAGES", 1)
    dataset = pictures(4)
    result = extract(dataset, "--dtype", "uint8", "--augs", 2)
    extract(dataset, "--out", "floats.h5", "--augs", 2)
    floats, codes = Collection("floats.h5"), Collection("t.h5")
    exact = floats.read_dequantised(np.arange(4).repeat(3), [0, 1, 2] * 4)
    above = np.rint(exact / codes.scales) > 255
    assert above.any()
    assert codes.images["clipped"].tolist() == above.reshape(4, -1).sum(1).tolist()
    assert result.stdout.endswith(f", {above.sum()} values clipped\n")
    assert extract(dataset, "--dtype", "uint8", "--augs", 2).stdout.endswith(f", {above.sum()} values clipped\n")
    top = dequantise(np.full(1024, 255, np.uint8), codes.scales)
    restored = codes.read_dequantised(np.arange(4).repeat(3), [0, 1, 2] * 4)
    assert (restored == top)[above].all()


def test_resume_takes_the_scales_of_the_file_and_samples_nothing(pictures, extract, unlike_rows):
    dataset, options = pictures(5), ("--dtype", "uint8")
    first = extract(dataset, *options, "--limit", 2)
    rest, whole = extract(dataset, *options), extract(dataset, *options, "--out", "whole.h5")
    assert (first.views, rest.views, whole.views) == (10 + 4, 6, 10 + 10)
    assert unlike_rows("t.h5", "whole.h5") == []


@pytest.mark.parametrize("options", [("--limit", 1), ("--shard", "2/5")])
def test_scales_are_of_all_images_whatever_part_is_filled(pictures, extract, options):
    dataset = pictures(5)
    extract(dataset, "--dtype", "uint8", *options)
    extract(dataset, "--dtype", "uint8", "--out", "whole.h5")
    np.testing.assert_array_equal(Collection("t.h5").scales, Collection("whole.h5").scales)


def test_other_seed_gives_another_sample(pictures, extract, monkeypatch):
    monkeypatch.setattr(scales_module, "SAMPLE_IMAGES", 1)
    dataset = pictures(5)
    for seed in range(4):
        extract(dataset, "--dtype", "uint8", "--augs", 0, "--limit", 1, "--seed", seed, "--out", f"{seed}.h5")
    assert len({Collection(f"{seed}.h5").scales.tobytes() for seed in range(4)}) > 1


def test_codes_are_no_continuation_of_floats(pictures, extract):
    dataset = pictures(2)
    extract(dataset, "--limit", 1, "--dtype", "uint8")
    refused = extract(dataset)
    assert (refused.status, "dtype: expected float16, found uint8" in refused.stderr) == (2, True)
