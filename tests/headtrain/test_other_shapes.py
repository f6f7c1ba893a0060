"""Heads on collections of other trunks: locations and channels come from the collection, maps have its grid."""

import dataclasses

import numpy as np
import pytest
from click.testing import CliRunner

from amnet_common.collection import Collection
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import Dataset, SplitList
from headtrain.app.looking import attention_of
from headtrain.cli import main
from headtrain.figures.attention_maps import heat_map, scaled
from headtrain.figures.looks import looks_of
from headtrain.heads.checkpoint import load_head
from headtrain.report.gallery import attention_of as report_attention
from headtrain.scoring.photos import extracted
from headtrain.scoring.scores import score_collection, trunk_differences

SHAPE = (4, 6, 32)
LISTS = {"train_1": range(12), "val_1": range(12, 16), "test_1": range(16, 20)}


@pytest.fixture
def features(tmp_path, spec):
    """A collection of twenty images of 4 x 6 locations and 32 channels, with lists."""
    other = dataclasses.replace(spec, trunk="own:net", view_shape=SHAPE, trunk_input={"size": 96})
    scores = np.linspace(0.2, 0.9, 20)
    lists = {name: SplitList(np.array(rows), scores[list(rows)]) for name, rows in LISTS.items()}
    ids = tuple(f"{row:02}.jpg" for row in range(20))
    create_skeleton(tmp_path / "o.h5", Dataset("test", tmp_path, ids, lists), 2, other, {"mode": "eager"}, {})
    with RowWriter(tmp_path / "o.h5") as writer:
        for row in range(20):
            for view in range(2):
                values = np.random.default_rng([row, view]).normal(scores[row], 1, SHAPE)  # negative ones too
                writer.write_view(row, view, values.astype(np.float16))
            writer.finish(row, ImageFacts(width=60, height=40), np.tile([0, 0, 40, 60, 0], (2, 1)))
    return tmp_path / "o.h5"


def head(*words):
    result = CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def trained(features, *words):
    run = features.with_name("run")
    head("train", "--features", features, "--out", run, "--epochs", 1, "--hidden", 8, "--device", "cpu", *words)
    return run


@pytest.mark.parametrize("preset", ["amnet", "released"])
def test_new_head_takes_the_shape_of_its_collection(features, preset):
    made = load_head(trained(features, "--preset", preset))
    assert (made.config.locations, made.config.channels) == (24, 32)
    assert np.isfinite(score_collection(made, Collection(features)).score).all()


def test_config_file_of_another_shape_is_refused(features, tmp_path):
    (tmp_path / "c.toml").write_text("[head]\nplaces = 196\nchannels = 1024\n")
    words = ["train", "--features", features, "--config", tmp_path / "c.toml", "--out", tmp_path / "run"]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 2
    assert f"[head]: expected 24 locations of 32 channels, as {features} has, found 196 of 1024" in result.output
    assert not (tmp_path / "run").exists()


def test_config_of_a_run_repeats_it(features, tmp_path):
    run = trained(features)
    words = ["--config", run / "config.toml", "--out", tmp_path / "again", "--device", "cpu"]
    head("train", "--features", features, *words)
    assert load_head(tmp_path / "again").config == load_head(run).config


def test_sweep_baseline_score_and_report_take_another_shape(features, tmp_path):
    pytest.importorskip("matplotlib")
    sweep = ["--grid", "lr=1e-3,1e-4", "--split", 1, "--epochs", 1, "--hidden", 8, "--device", "cpu"]
    head("sweep", "--features", features, "--out", tmp_path / "sweep", *sweep)
    head("baseline", "--features", features, "--out", tmp_path / "base")
    run = next((tmp_path / "sweep").glob("*/split-1/best.safetensors")).parent
    heads = ["--head", run, "--head", tmp_path / "base" / "moments-kernel"]
    head("score", "--features", features, *heads, "--out", tmp_path / "s.csv")
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 21
    head("report", run, "--features", features, "--out", tmp_path / "p.html")
    assert (tmp_path / "p.html").stat().st_size > 10_000


def test_maps_have_the_grid_of_the_collection(features, tmp_path):
    pytest.importorskip("matplotlib")
    run = trained(features)
    collection, made = Collection(features), load_head(run)
    (look,) = looks_of(collection, made, [3])
    assert look.grid == (4, 6)
    head(
        "attend",
        "--features",
        features,
        "--head",
        run,
        "--out",
        tmp_path / "a.png",
        "--maps",
        tmp_path / "m.npy",
        "03.jpg",
    )
    wanted = made.predict(collection.read_dequantised(3)).attention.numpy().reshape(1, 3, 4, 6)
    np.testing.assert_allclose(np.load(tmp_path / "m.npy"), wanted, rtol=1e-6)
    assert attention_of(made, collection, 3)["grid"] == [4, 6]
    (card,) = report_attention(run, collection, [3])
    assert card["grid"] == [4, 6]


def test_heat_map_of_a_grid_that_is_no_square_keeps_rows_and_columns():
    weights = np.full(24, 0.01, np.float32)
    weights[6 * 1 + 4] = 1 - 0.23  # second row, fifth column
    heat = heat_map(weights, 60, 40, (4, 6))
    assert heat.shape == (40, 60)
    assert np.unravel_index(heat.argmax(), heat.shape) == pytest.approx((15, 45), abs=4)
    np.testing.assert_array_equal(heat_map(weights, 6, 4, (4, 6)), scaled(weights).reshape(4, 6))


def test_head_of_another_trunk_is_told_from_the_default(features, make_learnable):
    made = load_head(trained(features))
    lines = trunk_differences(made.provenance, make_learnable())
    assert "trunk: expected own:net, found resnet50-layer3" in lines
    assert trunk_differences(made.provenance, Collection(features)) == []


def test_photographs_are_extracted_with_the_trunk_of_the_head(monkeypatch, tmp_path):
    asked = []

    class Done:
        returncode = 2

    monkeypatch.setattr("headtrain.scoring.photos.command", lambda: "amnet-extract")
    monkeypatch.setattr("subprocess.run", lambda words, **_: asked.append(words) or Done())
    for number, trunk in enumerate(("own:net", "resnet50-layer3")):
        (tmp_path / str(number)).mkdir()
        extracted([], tmp_path / str(number), {"trunk": trunk}, None, "cpu")
    assert asked[0][-2:] == ["--trunk", "own:net"]
    assert "--trunk" not in asked[1]
