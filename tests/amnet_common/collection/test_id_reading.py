"""Ids taken up block by block have the hash and the texts that one by one would give."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from amnet_common.collection.id_reading import IdReading, encoded
from amnet_common.collection.spec import image_list_sha256
from amnet_common.datasets.records import decode_id

IDS = st.lists(st.binary(min_size=1, max_size=9).filter(lambda id_: not id_.endswith(b"\0")), min_size=1, max_size=30)


@given(IDS, st.integers(1, 12))
def test_hash_and_texts_are_those_of_the_ids_one_by_one(ids, step):
    column = np.array(ids, f"S{max(map(len, ids)) + 2}")
    reading = IdReading(texts=True, column=True)
    for start in range(0, len(ids), step):
        reading.take(column[start : start + step])
    assert reading.sha256() == image_list_sha256(ids)
    assert reading.texts == [decode_id(id_) for id_ in ids]
    assert reading.column().tolist() == ids
    assert encoded(reading.texts).tolist() == ids
    assert encoded(reading.texts, column.dtype).tolist() == ids


def test_ids_of_one_length_and_strided_columns_do_as_well():
    table = np.zeros(4, [("id", "S3"), ("more", "u1", (5,))])
    table["id"] = [b"abc", b"abd", b"abe", b"abf"]
    reading = IdReading()
    reading.take(table["id"])
    assert reading.sha256() == image_list_sha256(table["id"].tolist())
    assert reading.texts == []
