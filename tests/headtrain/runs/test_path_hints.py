"""What the path of a released checkpoint says against the options."""

from pathlib import Path

import pytest

from headtrain.runs.path_hints import contradictions


def lines(path, steps=3, attention=True, output="mean", mean=0.754):
    return [*contradictions(Path(path), steps, attention, output, mean)]


@pytest.mark.parametrize(("path", "options", "begin"), [
    ("lamem_ResNet50FC_lstm3_noatt_train_1/weights_40.pkl", {}, "the path says noatt: "),
    ("/a/sun_NoAtt/w.pkl", {}, "the path says NoAtt: "),
    ("lamem_ResNet50FC_lstm2_train_1/w.pkl", {}, "the path says lstm2, and the head has 3 steps; --steps 2?"),
    ("lamem_lstm3/w.pkl", {"steps": 0}, "the path says lstm3, and the head has 0 steps; --steps 3?"),
    ("lamem_ResNet50FC_lstm3_last_train_1/w.pkl", {}, "the path says _last: "),
    ("lamem_ResNet101FC_lstm3_train_1/w.pkl", {}, "the path says ResNet101: "),
    ("lamem_resnet18_lstm3/w.pkl", {}, "the path says resnet18: "),
    ("ava_ResNet50FC_lstm3/w.pkl", {}, "the path says ava: the authors' mean score is 0.538 there, not 0.754; --mean"),
    ("AVA/w.pkl", {}, "the path says AVA: "),
])  # fmt: skip
def test_a_path_that_says_otherwise_is_told_in_one_line(path, options, begin):
    (line,) = lines(path, **options)
    assert line.startswith(begin)


@pytest.mark.parametrize(("path", "options"), [
    ("lamem_ResNet50FC_lstm3_train_1/weights_40.pkl", {}),
    ("lamem_ResNet50FC_lstm3_noatt_last_train_1/w.pkl", {"attention": False, "output": "last"}),
    ("ava_ResNet50FC_lstm6/w.pkl", {"steps": 6, "mean": 0.538}),
    ("/home/lastman/java/avatar/nets/monoattic/w.pkl", {}),
    ("last.pkl", {}), ("", {}),
])  # fmt: skip
def test_a_path_that_says_the_same_or_nothing_is_passed_in_silence(path, options):
    assert lines(path, **options) == []
