"""Which data a collection really is of."""

from types import SimpleNamespace

import pytest

from headtrain.published import ROSTERS, data_of, roster_of


@pytest.mark.parametrize(("folder", "data"), [("lamem", "LaMem"), ("lnsim", "LNSIM")])
def test_data_sets_are_told_by_the_images_of_their_lists(shared, folder, data):
    files = (shared / "data" / folder / "splits").glob("*.txt")
    ids = {line.split()[0] for path in files for line in path.read_text().splitlines() if line.strip()}
    assert ROSTERS[roster_of([*ids])] == data


@pytest.mark.parametrize(("dataset", "images", "data"), [("sun", 2222, "SUN"), ("sun", 3, None), ("lamem", 2222, None)])
def test_sun_is_told_by_its_name_and_size(dataset, images, data):
    class Collection(SimpleNamespace):
        def __len__(self):
            return images

    assert data_of(Collection(provenance={"dataset": dataset}, roster="0")) == data
