"""Collections of other trunks: the shape of a view stands in the spec, and everything goes by it."""

import dataclasses
import json

import h5py
import numpy as np
import pytest

from amnet_common.cli import main as cache
from amnet_common.collection import Collection
from amnet_common.collection.export import export
from amnet_common.collection.layout import VIEW_SHAPE
from amnet_common.collection.quantise import quantise, scales_sha256
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.spec import Spec
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import Dataset
from amnet_common.errors import CollectionError, SpecError

SHAPE = (4, 6, 40)  # no square, and no whole pages


@pytest.fixture
def other(spec) -> Spec:
    given = {"size": 96, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    return dataclasses.replace(spec, trunk="own:net", view_shape=SHAPE, trunk_input=given, tokens_left_out=1)


def test_views_of_another_shape_are_stored_and_read(make_collection, other):
    path = make_collection(done=(0, 2), of=other)
    collection = Collection(path)
    assert collection.view_shape == collection.spec.shape == SHAPE
    found = collection.read([2, 0], [1, 0], check=True)
    wanted = [make_collection.features_of(row, view, SHAPE) for row, view in ((2, 1), (0, 0))]
    np.testing.assert_array_equal(found, np.stack(wanted), strict=True)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["features"][2], file["segments/0000"][2], strict=True)


def test_spec_of_another_trunk_round_trips_and_differs_by_name(other, spec):
    again = Spec.from_json(other.to_json())
    assert (again, again.fingerprint) == (other, other.fingerprint)
    assert json.loads(other.to_json())["view_shape"] == [4, 6, 40]
    assert not {"view_shape", "trunk_input", "tokens_left_out"} & json.loads(spec.to_json()).keys()
    assert spec.shape == VIEW_SHAPE


@pytest.mark.parametrize(
    "shape", [[4, 6], [4, 6, 0], [4, 6, -1], [4, 6, True], [4, 6, 1.5], "466", 7, [2**16, 2, 1], [1, 1, 2**17],
              [2**8, 2**8, 2**9], [10**400, 1, 1], [[4], 6, 40]]
)  # fmt: skip
def test_view_shapes_that_cannot_be_are_refused(make_collection, other, shape):
    path = make_collection(of=other)
    with h5py.File(path, "r+") as file:
        fields = json.loads(file.attrs["spec"]) | {"view_shape": shape}
        file.attrs["spec"] = np.bytes_(json.dumps(fields).encode())
    with pytest.raises((SpecError, CollectionError), match=r"view_shape|no JSON object|integer"):
        Collection(path)


@pytest.mark.parametrize(("field", "value"), [("trunk_input", "224"), ("tokens_left_out", 0), ("tokens_left_out", "1")])
def test_other_fields_that_cannot_be_are_refused(other, field, value):
    fields = other.as_dict() | {field: value}
    with pytest.raises(SpecError, match=f"spec: expected {field} to be"):
        Spec.from_json(json.dumps(fields))


def test_dataset_of_another_shape_than_the_spec_says_is_refused(make_collection, other):
    path = make_collection(of=other)
    with h5py.File(path, "r+") as file:
        fields = json.loads(file.attrs["spec"]) | {"view_shape": [6, 4, 40]}
        file.attrs["spec"] = np.bytes_(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode())
    with pytest.raises(
        CollectionError, match=r"/segments/0000: expected \(4, 2, 6, 4, 40\) of float16, found \(4, 2, 4"
    ):
        Collection(path)


def test_codes_of_another_shape_have_a_scale_for_each_of_its_channels(tmp_path, other):
    scales = np.linspace(0.002, 0.006, SHAPE[-1], dtype=np.float32)
    coded = dataclasses.replace(other, dtype="uint8", scales_sha256=scales_sha256(scales), tokens_left_out=None)
    create_skeleton(tmp_path / "u.h5", Dataset("t", tmp_path, ("a",)), 1, coded, {}, {}, scales)
    features = np.random.default_rng(0).random(SHAPE, np.float32)
    codes, clipped = quantise(features, scales)
    with RowWriter(tmp_path / "u.h5") as writer:
        writer.write_view(0, 0, codes)
        writer.finish(0, ImageFacts(), np.zeros((1, 5)), clipped)
    found = Collection(tmp_path / "u.h5").read_dequantised(0, check=True)[0]
    np.testing.assert_array_equal(found, codes * scales, strict=True)


def test_cache_commands_take_another_shape(make_collection, other, tmp_path, runner):
    ids = [("a.jpg", "b.jpg"), ("c.jpg", "d.jpg")]
    for name, some in zip(("one.h5", "two.h5"), ids, strict=True):
        make_collection(some, done=(0, 1), name=name, of=other)
    parts = [tmp_path / "one.h5", tmp_path / "two.h5"]
    assert runner("link", *parts, "--out", tmp_path / "all.h5") == 0
    (tmp_path / "scores.csv").write_text(
        "id,score,split\na.jpg,0.1,train\nb.jpg,0.2,val\nc.jpg,0.3,test\nd.jpg,0.4,train\n"
    )
    assert (
        runner("relabel", tmp_path / "all.h5", "--labels", tmp_path / "scores.csv", "--out", tmp_path / "new.h5") == 0
    )
    assert runner("verify", tmp_path / "new.h5") == 0
    linked = Collection(tmp_path / "new.h5")
    assert (linked.view_shape, linked.spec) == (SHAPE, other)
    assert list(export(linked, tmp_path / "x.npy", all_views=True)) == [4]
    np.testing.assert_array_equal(
        np.load(tmp_path / "x.npy")[2], Collection(parts[1]).read([0, 0], [0, 1]), strict=True
    )


def test_parts_of_another_shape_cannot_be_linked(make_collection, other, spec, tmp_path, runner):
    make_collection(("a.jpg",), done=(0,), name="one.h5", of=other)
    make_collection(("b.jpg",), done=(0,), name="two.h5", of=spec)
    assert runner("link", tmp_path / "one.h5", tmp_path / "two.h5", "--out", tmp_path / "all.h5") == 2
    assert "view_shape: expected [4, 6, 40], found None" in runner.said


def test_info_says_what_another_trunk_takes_in(make_collection, other, runner):
    assert runner("info", make_collection(done=(0,), of=other)) == 0
    assert "views        2 an image, each (4, 6, 40) float16" in runner.said
    line = "mean [0.5, 0.5, 0.5], size 96, std [0.25, 0.25, 0.25]; class and register tokens left out: 1"
    assert f"input        {line}" in runner.said


@pytest.fixture
def runner():
    """runner("verify", path) -> the exit status; what was said is in `.said`."""
    from click.testing import CliRunner

    def run(*words):
        result = CliRunner().invoke(cache, [str(word) for word in words])
        run.said = result.output
        return result.exit_code

    return run
