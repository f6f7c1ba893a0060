"""Rows of the leaderboard: what they show, how they are ordered, and which may be called best."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from amnet_common.errors import ConfigError, RunError
from amnet_common.files import write_json
from headtrain.evaluation.metrics import Metrics
from headtrain.leaderboard.board import head_rows, ordered, summary_rows
from headtrain.leaderboard.facts import COLUMNS, matching, read_condition
from headtrain.leaderboard.listing import TrainedHead, listed, read_head
from headtrain.leaderboard.text import as_csv, as_table
from headtrain.runs.folder import new_run_folder
from headtrain.runs.log import Epoch, write_log
from headtrain.settings.configuration import Config, override
from headtrain.settings.presets import PAPER

LOG_HEADER = "epoch,squared_error,penalty,val_rho,val_mse,seconds,best"  # as the first version wrote it


def head(
    split=1, val=0.5, test=0.4, name=None, status="finished", features="f", print_="aa" * 32, images=None, **settings
):
    config = override(PAPER, **settings)
    found = TrainedHead(Path(name or "r"), config, split, features, print_, images or f"images-{split}")
    figures = Metrics() if test is None else Metrics(rho=test, mse=test / 10)
    return replace(found, status=status, val_rho=val, test=figures, epochs=10 * split, seconds=60.0 * split)


def grid(rhos, **settings):
    """A configuration's heads: (splits, seeds) validation rhos, of which the test rho is 0.1 less."""
    return [head(split + 1, float(rho), float(rho) - 0.1, seed=seed, **settings)
            for split, row in enumerate(rhos) for seed, rho in enumerate(row)]  # fmt: skip


def notes(rows):
    return [row.get("note", "") for row in rows]


def test_only_settings_that_differ_have_a_column():
    rows = head_rows([head(learning_rate=1e-3), head(learning_rate=1e-4, attention=False)])
    assert [*rows[0]][:5] == ["run", "status", "split", "attention", "lr"]
    assert not rows[0].keys() & {"seed", "preset", "features", "steps", "note"}
    assert [(row["attention"], row["lr"]) for row in rows] == [(True, 1e-3), (False, 1e-4)]


def test_seed_preset_and_features_have_columns_where_they_differ():
    other = replace(head(features="g", seed=3), config=replace(override(PAPER, seed=3), preset="amnet"))
    first, second = head_rows([head(), other])
    assert (first["features"], first["seed"], first["preset"]) == ("f", 0, "paper")
    assert (second["features"], second["seed"], second["preset"]) == ("g", 3, "amnet")


def test_collections_of_one_name_are_told_apart_by_their_fingerprints():
    rows = head_rows([head(print_="ab" * 32), head(print_="cd" * 32)])
    assert [row["features"] for row in rows] == ["f abababab", "f cdcdcdcd"]


def test_no_setting_has_the_name_of_another_column():
    row = head_rows([head()])[0] | summary_rows([head()])[0]
    assert not row.keys() & set(COLUMNS.values())


def test_the_highest_validation_rho_is_first_whatever_the_test_says_and_none_is_last():
    heads = [head(val=None, name="a"), head(val=-0.1, name="b"), head(val=0.6, test=0.1, name="c"), head(name="d")]
    assert [row["run"] for row in head_rows(heads)] == ["c", "d", "b", "a"]


def test_rows_are_sorted_by_any_column_with_cells_without_a_value_last_both_ways():
    heads = [head(learning_rate=rate, test=rho) for rate, rho in ((1e-2, 0.3), (1e-4, None), (1e-3, 0.5))]
    rows = head_rows(heads)
    assert [row["lr"] for row in ordered(rows, "lr")] == [1e-4, 1e-3, 1e-2]
    assert [row["lr"] for row in ordered(rows, "lr", reverse=True)] == [1e-2, 1e-3, 1e-4]
    assert [row["test-rho"] for row in ordered(rows, "test-rho")] == [0.5, 0.3, None]
    assert [row["test-rho"] for row in ordered(rows, "test-rho", reverse=True)] == [0.3, 0.5, None]
    with pytest.raises(ConfigError, match=r"--sort: expected one of run, status, split, lr, val-rho, .* found 'steps'"):
        ordered(rows, "steps")


@pytest.mark.parametrize(("text", "condition"), [
    ("lr=1e-4", ("lr", 0.0001)), ("steps=2", ("steps", 2)), ("attention=False", ("attention", False)),
    ("split=1", ("split", 1)), ("features=a=b", ("features", "a=b")), ("target-mean=none", ("target-mean", None)),
    ("target-mean=0.5", ("target-mean", 0.5)),
])  # fmt: skip
def test_a_condition_has_the_type_of_its_setting(text, condition):
    found = read_condition(text)
    assert found == condition
    assert type(found[1]) is type(condition[1])


@pytest.mark.parametrize(("text", "message"), [
    ("speed=1", "--where: expected KEY=VALUE with one of status, features, .*, found 'speed=1'"),
    ("lr", "found 'lr'"),
    ("learning_rate=1", "found 'learning_rate=1'"),
    ("steps=two", "--where steps: expected a value of type int, found 'two'"),
    ("steps=none", "--where steps: expected a value of type int, found 'none'"),
    ("attention=2", "--where attention: expected true or false, found '2'"),
])  # fmt: skip
def test_a_condition_that_means_nothing_is_named(text, message):
    with pytest.raises(ConfigError, match=message):
        read_condition(text)


def test_every_condition_must_hold():
    heads = [head(split, learning_rate=rate) for split in (1, 2) for rate in (1e-3, 1e-4)]
    found = matching(heads, [read_condition("lr=1e-4"), read_condition("split=2")])
    assert found == [heads[3]]
    with pytest.raises(RunError, match="expected heads with split=9, found none among 4"):
        matching(heads, [("split", 9)])


def test_a_summary_has_mean_and_sample_deviation_over_splits_and_seeds():
    rhos = np.random.default_rng(1).uniform(0.3, 0.6, (5, 3))
    (row,) = summary_rows(grid(rhos))
    assert (row["heads"], row["splits"], row["seeds"], row["best"]) == (15, 5, 3, True)
    np.testing.assert_allclose(row["val-rho"], rhos.mean(), rtol=1e-12)
    np.testing.assert_allclose(row["val-rho-sd"], rhos.std(ddof=1), rtol=1e-12)
    np.testing.assert_allclose((row["test-rho"], row["test-rho-sd"]), ((rhos - 0.1).mean(), rhos.std(ddof=1)))
    np.testing.assert_allclose((row["mse"], row["mse-sd"]), (((rhos - 0.1) / 10).mean(), rhos.std(ddof=1) / 10))
    assert (row["epochs-trained"], row["minutes"]) == (30, 3 * (1 + 2 + 3 + 4 + 5))
    assert not row.keys() & {"unfinished", "note", "seed"}


def test_one_head_has_no_spread():
    (row,) = summary_rows([head()])
    assert (row["val-rho"], row["val-rho-sd"]) == (0.5, None)


def test_the_best_is_the_highest_mean_validation_rho_whatever_the_test_says():
    heads = [head(val=0.5, test=0.9, steps=1), head(val=0.6, test=0.1, steps=2), head(val=0.4, test=0.8, steps=3)]
    assert [(row["steps"], row["best"]) for row in summary_rows(heads)] == [(2, True), (1, False), (3, False)]


def test_a_configuration_on_fewer_splits_is_never_the_best():
    rows = summary_rows([*grid([[0.9]], steps=1), *grid([[0.5], [0.3]], steps=2)])
    assert [(row["steps"], row["best"], row["splits"]) for row in rows] == [(2, True, 2), (1, False, 1)]
    assert notes(rows) == ["", "not on the lists of the others: not comparable"]


def test_where_no_configuration_covers_all_splits_none_is_the_best():
    rows = summary_rows([head(split=1, steps=1), head(split=2, steps=2)])
    assert not any(row["best"] for row in rows)
    assert all("not comparable" in note for note in notes(rows))


def test_equal_split_numbers_of_other_data_are_not_averaged_nor_compared():
    rows = summary_rows([head(features="lamem", val=0.7), head(features="lnsim", val=0.5, images="others")])
    assert [row["features"] for row in rows] == ["lamem", "lnsim"]  # the specs, hence the fingerprints, are equal
    assert not any(row["best"] for row in rows)


def test_a_split_that_counts_more_often_than_another_makes_no_best():
    rows = summary_rows([*grid([[0.9, 0.9], [0.3]], steps=1), *grid([[0.5], [0.3]], steps=2)])
    assert [(row["steps"], row["best"]) for row in rows] == [(2, True), (1, False)]
    assert notes(rows)[1] == "lists unequally often: not comparable"


def test_unfinished_heads_are_counted_apart():
    rows = summary_rows(
        [head(steps=1, val=0.3), head(steps=1, val=0.9, status="unfinished"), head(steps=2, status="unfinished")]
    )
    assert [(row["steps"], row["heads"], row["unfinished"], row["val-rho"]) for row in rows] == [
        (1, 1, 1, 0.3), (2, 0, 1, None)]  # fmt: skip
    assert rows[0]["best"]
    assert not summary_rows([head(status="unfinished")])[0]["best"]


def test_a_mean_with_an_undefined_rho_is_undefined_and_no_best():
    undefined = [head(split=1, val=0.9, steps=1), head(split=2, val=None, steps=1)]
    rows = summary_rows([*undefined, *grid([[0.2], [0.1]], steps=2)])
    assert [(row["steps"], row["best"], row["val-rho"] is None) for row in rows] == [(2, True, False), (1, False, True)]


def test_the_table_joins_spread_and_interval_with_their_figure():
    bounds = {"test-rho-low": 0.4, "test-rho-high": None}
    nothing = dict.fromkeys(("test-rho", *bounds))
    rows = [{"run": "a|b", "test-rho": 0.51239, **bounds, "lr": 1e-4}, {"run": "c", **nothing, "lr": 0.1}]
    assert as_table(rows).splitlines() == [
        "| run  | test-rho          | lr     |",
        "|------|-------------------|--------|",
        "| a\\|b | 0.5124 [0.400, -] | 0.0001 |",
        "| c    | -                 | 0.1    |",
    ]
    assert "| 0.5000 ± 0.2500 |" in as_table([{"val-rho": 0.5, "val-rho-sd": 0.25}])


def test_names_of_any_bytes_can_be_printed():
    rows = [{"run": "a\nb\udcff", "lr": 1.0}]
    assert "a\\nb\\udcff" in as_table(rows)
    assert as_csv(rows) == "run,lr\na\\nb\\udcff,1.0"


class TestReading:
    """What is read of a run folder."""

    @pytest.fixture
    def make_run(self, tmp_path):
        """make(name, epochs=rhos, **changes of run.json) -> a run folder that was begun."""

        def make(name="r", rhos=(), config: Config = PAPER, **changes):
            identity = {"config": config.as_dict(), "split": 2, "fingerprint": "ab", "images": "cd",
                        "features": "/data/lnsim.h5", "selected_on": "val_2"}  # fmt: skip
            new_run_folder(tmp_path / name, identity | changes, config)
            if rhos:
                write_log(tmp_path / name, [Epoch(i, 1.0, 0.0, rho, 0.1, 2.0, best=False, lowest_mse=False)
                                            for i, rho in enumerate(rhos, 1)])  # fmt: skip
            return tmp_path / name

        return make

    def test_an_unfinished_run_has_the_best_epoch_of_its_log(self, make_run):
        found = read_head(make_run(rhos=(0.1, 0.4, float("nan"), 0.3)))
        assert (found.finished, found.val_rho, found.best_epoch, found.epochs, found.seconds) == (False, 0.4, 2, 4, 8.0)
        assert (found.split, found.features, found.config) == (2, "lnsim", PAPER)

    def test_a_run_without_a_log_has_no_epochs(self, make_run):
        found = read_head(make_run())
        assert (found.epochs, found.val_rho, found.best_epoch) == (0, None, None)

    def test_constant_predictions_have_no_validation_rho(self, make_run):
        assert read_head(make_run(rhos=(float("nan"),) * 2)).val_rho is None

    def test_runs_of_before_without_an_interval_are_read(self, make_run):
        run = make_run()
        old = {"split": 2, "test": {"rho": None, "mse": 0.5}, "best": {"val_rho": 0.25, "epoch": 3}}
        write_json(run / "metrics.json", old | {"epochs": 4, "seconds": 9.5})
        found = read_head(run)
        assert (found.finished, found.val_rho, found.test.mse) == (True, 0.25, 0.5)
        assert np.isnan([found.test.rho, found.interval.low]).all()
        assert (found.best_epoch, found.epochs, found.seconds) == (3, 4, 9.5)

    def test_rho_of_a_test_list_is_no_validation_rho(self, make_run):
        config = override(PAPER, select_on="test")
        found = read_head(make_run(rhos=(0.9,), config=config, optimistic=True))
        assert found.val_rho is None
        assert notes(head_rows([found])) == ["optimistic: epoch chosen on the test list"]
        rows = summary_rows([replace(found, status="finished", images="x"), head(split=2, val=0.1)])
        assert [row["best"] for row in rows] == [True, False]
        assert notes(rows) == ["", "optimistic: epoch chosen on the test list"]

    def test_runs_are_found_below_folders_but_not_below_runs_nor_where_nothing_was_trained(self, make_run, tmp_path):
        make_run("b/split-1"), make_run("a"), make_run("a/inner")
        make_run("imported", imported_from="weights.pkl")
        (tmp_path / "baselines" / "ridge").mkdir(parents=True)
        write_json(tmp_path / "baselines" / "ridge" / "metrics.json", {"system": "ridge"})
        assert [h.run for h in listed(tmp_path).heads] == [tmp_path / "a", tmp_path / "b" / "split-1"]
        assert [h.run for h in listed(tmp_path / "a").heads] == [tmp_path / "a"]

    @pytest.mark.parametrize(("name", "text", "message"), [
        ("run.json", "{", "r/run.json: expected a file of a run"),
        ("run.json", "{}", "r/run.json: expected a file as amnet-head writes it, found no 'config'"),
        ("run.json", '{"features": "f", "fingerprint": "a", "images": "b", "config": [], "split": 1}', "r/run.json: "),
        ("metrics.json", "[1]", "r/metrics.json: expected a file of a run"),
        ("metrics.json", '{"test": 3, "best": {"val_rho": "x"}}', "r/metrics.json: expected a file as amnet-head"),
        ("metrics.json", '{"interval": 3}', "r/metrics.json: expected a file as amnet-head"),
        ("log.csv", "epoch,val_rho\n1,0.5\n", "r/log.csv: expected a log as amnet-head train writes it, found no"),
        ("log.csv", f"{LOG_HEADER}\n1,1,1,much,1,1,True\n", "r/log.csv: .* 'much'"),
        ("log.csv", f"{LOG_HEADER}\n1,1\n", "r/log.csv: .*found a line without penalty"),
        ("log.csv", "a\0b,\xff\n1\n", "r/log.csv: "),
    ])  # fmt: skip
    def test_a_damaged_run_is_named_and_hides_no_other(self, make_run, name, text, message):
        run = make_run()
        (run / name).write_text(text, encoding="latin-1")
        other = make_run("whole", rhos=(0.5,))
        found = listed(run.parent)
        assert [head.run for head in found.heads] == [other]
        ((path, why),) = found.damaged
        assert path == run
        assert re.search(message, why)
        assert "\n" not in why
