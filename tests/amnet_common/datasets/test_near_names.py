"""Which image a table means by a name that no image has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amnet_common.datasets.near_names import Index, Near, did_you_mean, near_names

KNOWN = ("a.jpg", "sub/b.jpg", "one/c.jpg", "two/c.jpg", "d.jpg", "d.png", "e", "0277.jpg", "Zürich.jpeg")


@pytest.mark.parametrize(("name", "own"), [
    ("a", "a.jpg"), ("A.JPG", "a.jpg"), ("a.png", "a.jpg"), ("images/a.jpg", "a.jpg"), ("C:\\pics\\a.jpg", "a.jpg"),
    ("a.jpg ", "a.jpg"), ("\u200ba.jpg", "a.jpg"), ("/data/sub/B.JPEG", "sub/b.jpg"), ("b", "sub/b.jpg"),
    ("ONE\\c", "one/c.jpg"), ("D.JPG", "d.jpg"), ("e.jpg", "e"), ("zu\u0308rich.jpg", "Zürich.jpeg"),
    ("../a.jpg", "a.jpg"), ("'a.jpg", None),
    ("c.jpg", None), ("d", None), ("other/b.jpg", None), ("277.jpg", None), ("x.jpg", None), ("", None),
    ("a.jpg.txt", None),
])  # fmt: skip
def test_a_name_stands_for_the_one_image_that_it_can_mean(name, own):
    assert near_names([name], Index(KNOWN)).own.get(name) == own


def test_several_images_that_a_name_can_mean_are_offered_and_so_is_a_misspelt_one():
    near = near_names(["c.jpg", "0727.jpg"], Index(KNOWN))
    assert did_you_mean("c.jpg", near, KNOWN) == "; did you mean 'one/c.jpg' or 'two/c.jpg'?"
    assert did_you_mean("0727.jpg", near, KNOWN) == "; did you mean '0277.jpg'?"
    assert did_you_mean("nothing like it", near, KNOWN) == ""


def test_what_is_said_has_a_count_an_example_and_the_kinds():
    line = near_names(["A.jpg", "x/D.png"], Index(KNOWN)).line("below pics")
    assert line == ("2 names nearly match images below pics (case, folder), such as 'A.jpg', taken as 'a.jpg'; the "
                    "images go by their own names")  # fmt: skip
    assert Near({}).line("below pics") == ""


def test_very_many_images_of_one_name_are_told_apart_by_their_folder():
    known = [f"{k}/1.jpg" for k in range(1000)]
    assert near_names(["x/77/1.JPG", "1.jpg"], Index(known)).own == {"x/77/1.JPG": "77/1.jpg"}


@given(st.lists(st.text("aAb./\\ ü", min_size=1, max_size=6), unique=True), st.text("aAb./\\ ü", max_size=6))
def test_what_is_found_is_among_the_known(known, name):
    assert set(near_names([name], Index(known)).own.values()) <= set(known)
