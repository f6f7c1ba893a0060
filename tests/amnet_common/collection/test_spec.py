"""What a view means: canonical JSON, its fingerprint, and how differences are told."""

import dataclasses
import hashlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amnet_common.collection.spec import Spec, canonical_json, differences, image_list_sha256, spec_differences
from amnet_common.errors import SpecError

TEXT = st.text(max_size=8)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
PLANS = st.dictionaries(
    TEXT, LEAVES | st.lists(LEAVES, max_size=3) | st.dictionaries(TEXT, LEAVES, max_size=3), max_size=4
)
STORED = st.sampled_from([("float16", None), ("uint8", "5a" * 32)])
SPECS = st.builds(
    lambda stored, *fields: Spec(*fields, *stored), STORED, TEXT, TEXT, TEXT, TEXT, PLANS, st.integers(), TEXT
)


@given(SPECS)
def test_spec_round_trips_through_json(spec):
    again = Spec.from_json(spec.to_json())
    assert again == spec
    assert again.fingerprint == spec.fingerprint


@given(PLANS)
def test_canonical_json_does_not_depend_on_the_order_of_keys(plan):
    assert canonical_json(dict(reversed(plan.items()))) == canonical_json(plan)
    assert json.loads(canonical_json(plan)) == plan


def test_fingerprint_is_the_sha256_of_the_json_and_never_changes(spec):
    assert spec.fingerprint == hashlib.sha256(spec.to_json().encode()).hexdigest()
    assert spec.fingerprint == "92828bc9895c57e0d9caa39b4042f856da41062bca898846e9fb6d2dc1de50e7"


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Spec)])
def test_every_field_changes_the_fingerprint_and_is_named(spec, field):
    if field == "scales_sha256":
        spec = dataclasses.replace(spec, dtype="uint8", scales_sha256="34")
    changes = {"view_plan": {"augs": 3}, "seed": 7}
    also = {"scales_sha256": "34"} if field == "dtype" else {}
    other = dataclasses.replace(spec, **{field: "uint8" if field == "dtype" else changes.get(field, "other")}, **also)
    assert other.fingerprint != spec.fingerprint
    lines = spec_differences(spec, other)
    assert [line for line in lines if line.startswith(field)]
    assert all(line.startswith((field, *also)) for line in lines)


@pytest.mark.parametrize(("dtype", "sha256"), [("uint8", None), ("float16", "34")])
def test_scales_go_with_uint8_and_with_nothing_else(spec, dtype, sha256):
    message = f"spec: expected scales with dtype uint8 and with no other, found {sha256!r} with {dtype}"
    with pytest.raises(SpecError, match=message):
        dataclasses.replace(spec, dtype=dtype, scales_sha256=sha256)


@pytest.mark.parametrize(
    ("field", "value", "kind"), [("trunk", 5, "str"), ("seed", "0", "int"), ("view_plan", [], "Mapping")]
)
def test_field_of_a_wrong_type_is_named(spec, field, value, kind):
    with pytest.raises(SpecError, match=re.escape(f"spec: expected {field} to be of type {kind}, found {value!r}")):
        dataclasses.replace(spec, **{field: value})


def test_spec_without_scales_has_no_such_field(spec):
    assert "scales" not in spec.to_json()
    assert Spec.from_json(spec.to_json()).scales_sha256 is None


def test_nested_differences_are_named_by_their_path(spec):
    other = dataclasses.replace(spec, seed=1, view_plan={"name": "t", "augs": 10})
    assert spec_differences(spec, other) == ["seed: expected 0, found 1", "view_plan.augs: expected 1, found 10"]


def test_tuples_and_the_lists_that_json_makes_of_them_are_equal(spec):
    a, b = (dataclasses.replace(spec, view_plan={"area": area}) for area in ((0.08, 1.0), [0.08, 1.0]))
    assert spec_differences(a, b) == []


def test_absent_keys_are_differences():
    assert differences({"a": {"b": 1}}, {"a": {"c": 2}}) == [
        "a.b: expected 1, found None",
        "a.c: expected None, found 2",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values.pop("seed"), r"expected the fields .*'seed'.*, found \[(?!.*'seed')"),
        (lambda values: values.update(colour="red"), r"expected the fields .*, found .*'colour'"),
    ],
)
def test_missing_and_unknown_fields_are_refused(spec, change, message):
    values = json.loads(spec.to_json())
    change(values)
    with pytest.raises(SpecError, match=message):
        Spec.from_json(json.dumps(values))


@pytest.mark.parametrize("text", ["", "{", "5", "null"])
def test_what_is_no_json_object_is_refused(text):
    with pytest.raises(SpecError, match=f"spec: expected a JSON object, found '{text}'"):
        Spec.from_json(text)


def test_not_a_number_has_no_place_in_a_spec(spec):
    with pytest.raises(ValueError, match="not JSON compliant"):
        dataclasses.replace(spec, view_plan={"area": float("nan")}).to_json()


@given(st.lists(st.binary(max_size=6), max_size=5), st.lists(st.binary(max_size=6), max_size=5))
def test_image_lists_are_equal_only_for_equal_ids_in_equal_order(a, b):
    assert (image_list_sha256(a) == image_list_sha256(b)) == (a == b)
