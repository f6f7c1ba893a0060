"""Heads that read the same images from several collections: which collection, which rows, what is refused."""

import unicodedata
from dataclasses import replace

import numpy as np
import pytest
import torch

from amnet_common.collection import Collection
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import Dataset, SplitList
from amnet_common.errors import CollectionError, MissingRowsError, RunError, SpecError
from headtrain.features.seen import as_text, content_keys
from headtrain.features.splits import split_subsets
from headtrain.heads.architectures import new_head
from headtrain.heads.provenance import Provenance
from headtrain.scoring.beside import Reader, collection_of, have_seen_by_files, in_common, refuse_seen_by, together
from headtrain.settings.configuration import override
from headtrain.settings.presets import AMNET

IDS = ("é.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", "f.jpg")
LISTS = {"train_1": [0, 1], "val_1": [2, 3], "test_1": [4, 5, 0]}


@pytest.fixture
def make(tmp_path, spec):
    """make(name, ids, views=, done=, weights=) -> a collection whose features and files are keyed by what ids look like
    and by the weights.
    """

    def make(name, ids=IDS, views=1, done=None, weights="00", **changed):
        scores = np.linspace(0, 1, len(ids))
        lists = {key: SplitList(np.array(rows), scores[rows]) for key, rows in LISTS.items()} if ids == IDS else {}
        own = replace(spec, weights_sha256=weights * 32, **changed)
        create_skeleton(tmp_path / name, Dataset("t", tmp_path, ids, lists), views, own, {"mode": "eager"}, {})
        with RowWriter(tmp_path / name) as writer:
            for row, id_ in enumerate(ids):
                if done is not None and id_ not in done:
                    continue
                key = int.from_bytes(unicodedata.normalize("NFC", id_).encode()[:4], "big")
                for view in range(views):
                    values = np.random.default_rng([key, view, int(weights)]).random((14, 14, 1024), np.float32)
                    writer.write_view(row, view, values.astype(np.float16))
                facts = ImageFacts(sha256=key.to_bytes(32, "little"), width=9, height=9)
                writer.finish(row, facts, np.zeros((views, 5), np.float32))
        return Collection(tmp_path / name)

    return make


def head_of(collection, seed=0, **provenance):
    torch.manual_seed(seed)
    config = override(AMNET, hidden=8, regress_hidden=4)
    head = new_head(config.head).eval()
    head.provenance = Provenance(config, collection.spec.as_dict(), 1, 1, **provenance)
    return head


def test_a_head_reads_the_collection_of_its_spec_then_that_of_its_trunk(make):
    first, other, crops = make("a.h5"), make("b.h5", weights="11"), make("c.h5", weights="11", seed=5)
    every = [first, crops, other]
    assert collection_of("r", head_of(other), every) is other
    assert collection_of("r", head_of(first), every) is first
    assert collection_of("r", head_of(other), [first, crops]) is crops  # the seed of the crops alone is another
    assert collection_of("r", head_of(other), [first]) is first  # one alone is read with a warning
    with pytest.raises(SpecError, match=r"--head r: expected .* found .*a.h5, .*b.h5 to fit"):
        collection_of("r", head_of(make("d.h5", weights="22")), [first, other])


def test_images_are_matched_by_id_in_either_form_of_unicode(make):
    first, other = (
        make("a.h5"),
        make("b.h5", (*IDS[:0:-1], unicodedata.normalize("NFD", IDS[0]), "g.jpg"), weights="11"),
    )
    seen = in_common(first, [other], split_subsets(first, 1, 0, False), False)
    assert seen.of(first) is seen.subsets
    assert seen.of(other).val.rows.tolist() == [3, 2]
    assert seen.of(other).test.rows.tolist() == [1, 0, 5]


def test_together_they_say_the_mean_of_what_each_head_says_of_its_own_features(make):
    first, other = make("a.h5"), make("b.h5", IDS[::-1], 2, weights="11")
    seen = in_common(first, [other], split_subsets(first, 1, 0, False), False)
    heads = [head_of(first), head_of(other, 1), head_of(other, 2)]
    readers = [Reader("r", head, own, range(own.views)) for head, own in zip(heads, (first, other, other), strict=True)]
    said = together(readers, seen)
    rows = [4, 5, 0]
    of_first = heads[0].predict(first.read(rows)).score.numpy()
    of_other = [head.predict(other.read([5 - row for row in rows], view)).score.numpy()
                for head in heads[1:] for view in (0, 1)]  # fmt: skip
    np.testing.assert_allclose(said.test, (of_first + 2 * np.mean(of_other, axis=0)) / 3, rtol=1e-5)


def test_images_that_are_not_there_are_named_or_left_out(make):
    first, short = make("a.h5"), make("b.h5", IDS[:5], weights="11")
    subsets = split_subsets(first, 1, 0, False)
    with pytest.raises(CollectionError, match=r"b.h5: expected the 5 validation .* found 1 missing, such as f.jpg"):
        in_common(first, [short], subsets, False)
    pending = make("c.h5", weights="22", done={"é.jpg", "c.jpg", "d.jpg", "f.jpg"})
    with pytest.raises(MissingRowsError, match=r"c.h5: expected features .* found 0 failed and 1 pending"):
        in_common(first, [pending], subsets, False)
    seen = in_common(first, [short], subsets, True)
    assert (seen.subsets.test.rows.tolist(), seen.of(short).test.rows.tolist()) == ([4, 0], [4, 0])
    assert seen.subsets.test.left_out == 1
    with pytest.raises(CollectionError, match="expected at least 2 test images that all collections have features of"):
        in_common(first, [short, pending], subsets, True)


def test_files_that_a_head_was_trained_on_are_known_in_its_own_collection(make):
    first, other = make("a.h5"), make("b.h5", weights="11")
    seen = in_common(first, [other], split_subsets(first, 1, 0, False), False)

    def reader(rows):
        return Reader("r", head_of(other, trained_on=as_text(content_keys(other, np.array(rows)))), other, range(1))

    with pytest.raises(RunError, match="--head r: expected test images that it was not trained on, found 1 of 3"):
        refuse_seen_by([reader([4])], first, seen)
    refuse_seen_by([reader([2])], first, seen)
    assert have_seen_by_files([reader([2])], first, seen)
    assert not have_seen_by_files([reader([1])], first, seen)
