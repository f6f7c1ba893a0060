"""Scores of whole collections."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from amnet_common.errors import CollectionError, SpecError
from headtrain.heads.paper import PaperHead
from headtrain.heads.provenance import Provenance
from headtrain.scoring.scores import score_collection, trunk_differences
from headtrain.settings.presets import override


@pytest.fixture
def head(small):
    torch.manual_seed(0)
    head = PaperHead(small.head)
    torch.nn.init.normal_(head.regress.out.weight)  # a new head says the same of every image
    return head


def test_every_image_gets_the_score_of_its_own_features(head, make_learnable):
    collection = make_learnable()
    scores = score_collection(head, collection)
    for row in (0, 17, 39):
        assert scores.score[row] == pytest.approx(head.predict(collection.read([row])).score.item(), abs=1e-5)
    assert scores.ids == collection.ids


def test_images_without_features_keep_their_row_and_get_no_score(head, make_learnable):
    scores = score_collection(head, make_learnable(done=range(3, 40)))
    assert np.isnan(scores.score[:3]).all()
    assert np.isfinite(scores.score[3:]).all()


def test_damaged_features_are_not_scored(head, make_learnable):
    collection = make_learnable()
    extent = collection.parts[0].planes.features
    with open(collection.path, "r+b") as file:
        file.seek(extent.at(5) + 1000)
        file.write(b"\xff\xff\xff")
    with pytest.raises(CollectionError, match=r"row 5 \(05.jpg\) view 0: expected checksum"):
        score_collection(head, collection)


def test_a_head_for_other_features_is_refused(small, make_learnable):
    head = PaperHead(override(small, channels=512).head)
    with pytest.raises(SpecError, match="expected 196 locations of 512 channels"):
        score_collection(head, make_learnable())


def test_features_of_another_trunk_are_noticed_and_of_another_seed_are_not(head, make_learnable, small, spec):
    collection = make_learnable()
    head.provenance = Provenance(small, replace(spec, weights_sha256="ab", seed=9).as_dict(), 1, 1)
    assert trunk_differences(head.provenance, collection) == [
        f"weights_sha256: expected ab, found {spec.weights_sha256}"
    ]


def test_features_of_another_version_of_view_0_are_noticed(make_learnable, small, spec):
    plan = {"name": "standard", "augs": 1, "short_side": 256}
    older = Provenance(small, replace(spec, view_plan=plan).as_dict(), 1, 1)
    collection = make_learnable()
    collection.spec = replace(spec, view_plan=plan | {"version": 2})
    (line,) = trunk_differences(older, collection)
    centre = "the centre, short side to 256"
    assert line == f"view 0: expected {centre}, found {centre}, to whole pixels (version 2)"
    collection.spec = replace(spec, view_plan=plan)
    assert trunk_differences(older, collection) == []
