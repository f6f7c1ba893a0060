"""`amnet-extract --plan`: other views of the same images, in files that are never mixed."""

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from torchvision.transforms import v2

from amnet_common import cli as cache
from amnet_common.collection import Collection
from amnet_common.collection.joining import link
from amnet_common.datasets import load_dataset
from amnet_common.errors import SpecError
from extract.crops import cut_views, of_version, plan_views, view_plan


@pytest.mark.parametrize("name", ["squash", "squash264", "full"])
@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_collection_holds_the_views_of_its_plan(pictures, extract, trunk, name, dtype):
    dataset = pictures(4)
    options = ("--plan", name, "--augs", 2, "--dtype", dtype)
    assert extract(dataset, *options, "--limit", 2).status == 0
    resumed = extract(dataset, *options)
    assert (resumed.status, "4 images done (2 now)" in resumed.stdout) == (0, True)
    collection, plan = Collection("t.h5"), view_plan(name, 2)
    assert collection.spec.view_plan == plan.as_spec()
    for row, id_ in enumerate(dataset.ids):
        with Image.open(dataset.image_root / id_) as image:
            boxes = plan_views(plan, 0, id_, image.height, image.width)
            wanted = trunk(cut_views(image.convert("RGB"), boxes, 224)).features.astype(float)
        np.testing.assert_array_equal(collection.boxes[row], np.array(boxes, np.float32))
        step, most = (0, np.inf) if collection.scales is None else (collection.scales / 2, 255 * collection.scales)
        found = collection.read_dequantised([row] * 3, range(3))
        assert (np.abs(found - np.minimum(wanted, most)) <= step + 1e-3).all()


def test_info_names_the_plan(pictures, extract):
    extract(pictures(1), "--plan", "squash264")
    lines = CliRunner().invoke(cache.main, ["info", "t.h5"]).stdout.splitlines()
    (line,) = (line for line in lines if line.startswith("view plan"))
    assert "frame 264" in line
    assert "name squash264" in line


def test_dry_run_takes_a_plan_and_makes_nothing(pictures, extract, tmp_path):
    planned = extract(pictures(3), "--plan", "squash264", "--augs", 2, "--dry-run")
    assert (planned.status, "views      9, 3 an image\n" in planned.stdout) == (0, True)
    assert not (tmp_path / "t.h5").exists()


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_like_takes_the_plan_so_that_both_can_be_linked(pictures, extract, dtype):
    extract(pictures(3), "--plan", "squash", "--augs", 2, "--dtype", dtype)
    new = pictures(2, name="more")
    for path in list(new.image_root.iterdir()):
        path.rename(path.with_name(f"new-{path.name}"))
    assert extract(load_dataset("folder", new.image_root), "--like", "t.h5", "--out", "new.h5").status == 0
    parts = [Collection(name).path for name in ("t.h5", "new.h5")]
    link(parts, parts[0].with_name("all.h5"))
    assert len(Collection("all.h5")) == 5


def test_collections_of_unlike_plans_are_not_linked(pictures, extract):
    dataset = pictures(2)
    extract(dataset)
    extract(dataset, "--plan", "squash", "--out", "s.h5")
    paths = [Collection(name).path for name in ("t.h5", "s.h5")]
    with pytest.raises(SpecError, match=r"view_plan\.name: expected standard, found squash"):
        link(paths, paths[0].with_name("all.h5"))


def test_unknown_plan_is_refused_beside_the_known_ones(pictures, extract):
    refused = extract(pictures(1), "--plan", "whole")
    assert (refused.status, refused.stdout) == (2, "")
    assert "'whole' is not one of 'standard', 'squash', 'squash264'" in refused.stderr


def test_a_new_file_has_the_newest_version_and_an_old_one_goes_on_as_it_was_begun(pictures, extract):
    dataset = pictures(4)
    assert extract(dataset, "--augs", 1, "--limit", 2).status == 0
    assert Collection("t.h5").spec.view_plan == of_version(view_plan("standard", 1)).as_spec()
    old = ("--augs", 1, "--out", "old.h5")
    assert extract(dataset, *old, "--plan-version", 1, "--limit", 2).status == 0  # as an older version wrote it
    assert Collection("old.h5").spec.view_plan == view_plan("standard", 1).as_spec()
    resumed = extract(dataset, *old)
    assert (resumed.status, "4 images done (2 now)" in resumed.stdout) == (0, True)
    collection = Collection("old.h5")
    for row, id_ in enumerate(dataset.ids):
        with Image.open(dataset.image_root / id_) as image:
            boxes = plan_views(view_plan("standard", 1), 0, id_, image.height, image.width)
        np.testing.assert_array_equal(collection.boxes[row], np.array(boxes, np.float32))
    refused = extract(dataset, *old, "--plan-version", 2)
    assert (refused.status, refused.stderr.count("\n")) == (2, 1)
    assert "view_plan.version: expected 2, found None" in refused.stderr


def test_like_takes_the_version_and_unlike_versions_are_not_linked(pictures, extract):
    first, second = pictures(2), pictures(2, name="more")
    for path in [*second.image_root.iterdir()]:
        path.rename(path.with_name(f"new-{path.name}"))
    second = load_dataset("folder", second.image_root)
    extract(first, "--plan-version", 1)
    assert extract(second, "--like", "t.h5", "--out", "like.h5").status == 0
    assert extract(second, "--out", "new.h5").status == 0
    paths = {name: Collection(f"{name}.h5").path for name in ("t", "like", "new")}
    link([paths["t"], paths["like"]], paths["t"].with_name("all.h5"))
    assert len(Collection("all.h5")) == 4
    with pytest.raises(SpecError, match=r"view_plan\.version: expected None, found 2"):
        link([paths["t"], paths["new"]], paths["t"].with_name("both.h5"))
    refused = extract(second, "--like", "t.h5", "--plan-version", 2, "--out", "other.h5")
    assert (refused.status, "view_plan.version: expected None, found 2" in refused.stderr) == (2, True)


def test_resuming_under_another_like_is_refused(pictures, extract):
    dataset = pictures(2)
    extract(dataset, "--out", "old.h5", "--plan-version", 1)
    extract(dataset)
    refused = extract(dataset, "--like", "old.h5")
    assert (refused.status, "view_plan.version: expected None, found 2" in refused.stderr) == (2, True)


def test_view_0_of_a_new_file_is_torchvisions(pictures, extract, trunk):
    dataset = pictures(5)
    extract(dataset, "--augs", 0)
    transform = v2.Compose([v2.Resize(256), v2.CenterCrop(224)])
    for row, id_ in enumerate(dataset.ids):
        with Image.open(dataset.image_root / id_) as image:
            wanted = trunk(np.asarray(transform(image.convert("RGB")))[None]).features
        np.testing.assert_array_equal(Collection("t.h5").read([row], [0]), wanted)
