"""Scores of whole collections."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

from amnet_common.errors import CollectionError, OutputError, SpecError
from headtrain.checkpoint import Provenance
from headtrain.paper_head import PaperHead
from headtrain.presets import override
from headtrain.scoring import Scores, score_collection, trunk_differences, write_scores


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
    with pytest.raises(CollectionError, match=r"row 5 \(05.jpg\) view 0: wanted checksum"):
        score_collection(head, collection)


def test_a_head_for_other_features_is_refused(small, make_learnable):
    head = PaperHead(override(small, channels=512).head)
    with pytest.raises(SpecError, match="wanted 196 places of 512 channels"):
        score_collection(head, make_learnable())


def test_features_of_another_trunk_are_noticed_and_of_another_seed_are_not(head, make_learnable, small, spec):
    collection = make_learnable()
    head.provenance = Provenance(small, replace(spec, weights_sha256="ab", seed=9).as_dict(), 1, 1)
    assert trunk_differences(head, collection) == [f"weights_sha256: wanted ab, found {spec.weights_sha256}"]


def test_the_csv_file_has_a_line_an_image_and_steps_that_add_up(tmp_path):
    steps = np.array([[0.1, 0.2, 0.3], [np.nan] * 3], np.float32)
    write_scores(tmp_path / "s.csv", Scores(("a, b.jpg", "c.jpg"), steps.sum(1), steps))
    with open(tmp_path / "s.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == ["id", "score", "step_1", "step_2", "step_3"]
    assert lines[0]["id"] == "a, b.jpg"
    assert sum(float(lines[0][f"step_{t}"]) for t in (1, 2, 3)) == pytest.approx(float(lines[0]["score"]))
    assert list(lines[1].values()) == ["c.jpg", "", "", "", ""]


def test_names_that_are_not_utf8_are_written_as_the_bytes_they_are(tmp_path):
    id_ = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    write_scores(tmp_path / "s.csv", Scores((id_,), np.ones(1), np.ones((1, 1))))
    assert b"caf\xe9.jpg,1,1" in (tmp_path / "s.csv").read_bytes()


def test_a_file_that_cannot_be_written_is_named_and_nothing_is_left(tmp_path):
    with pytest.raises(OutputError, match=r"none/s\.csv: cannot be written"):
        write_scores(tmp_path / "none" / "s.csv", Scores((), np.ones(0), np.ones((0, 1))))
    assert list(tmp_path.iterdir()) == []
