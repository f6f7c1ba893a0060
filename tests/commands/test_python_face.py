"""Images in memory have the features that the commands give their files."""

import numpy as np
from PIL import Image

import amnet


def test_features_of_images_in_memory_are_those_of_the_collection_bit_by_bit(trained):
    collection = amnet.Collection(trained / "f.h5")
    rows = [1, 4, 6]
    paths = [trained / "images" / collection.ids[row] for row in rows]
    mixed = [paths[0], Image.open(paths[1]), np.asarray(Image.open(paths[2]))]
    found = amnet.extract_features(mixed, "untrained", augs=1, ids=[collection.ids[row] for row in rows], device="cpu")
    for view in (0, 1):
        np.testing.assert_array_equal(found[:, view], collection.read_dequantised(rows, view))
    by_name = amnet.extract_features(paths, "untrained", augs=1, device="cpu")
    np.testing.assert_array_equal(by_name, found)
