"""Trials of an experiment: measures against numbers by hand, consistency against a plain loop."""

import csv
import math
from collections import defaultdict
from statistics import NormalDist

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import spearmanr

from amnet_common.cli import main
from amnet_common.collection import Collection
from amnet_common.errors import DatasetError
from amnet_common.observers.consistency import rank_correlation, split_half
from amnet_common.observers.measures import MEASURES, Counts, corrected, d_prime, false_alarm_rate, hit_rate
from amnet_common.observers.trials import read_trials, write_scores
from amnet_common.seeds import keyed_philox

HEADER = "id,observer,trial,response\n"
BY_HAND = Counts(*np.array([[8, 2, 1, 9], [10, 0, 0, 10], [0, 0, 3, 1], [2, 2, 0, 0]]).T)


def amnet_cache(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def table(tmp_path):
    """table(text) -> a file of trials."""

    def write(text: str, name: str = "t.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


@pytest.fixture
def experiment(table):
    """20 images of which each of 30 observers sees some twice; how well each is remembered."""
    draw, lines = np.random.default_rng(5), []
    truth = draw.uniform(0.1, 0.95, 20)
    for person in range(30):
        for image in range(20):
            if draw.random() < 0.8:
                lines.append(f"{image:02}.jpg,p{person},foil,{'false-alarm' if draw.random() < 0.2 else 'rejection'}")
                lines.append(f"{image:02}.jpg,p{person},repeat,{'hit' if draw.random() < truth[image] else 'miss'}")
    draw.shuffle(lines)
    return table(HEADER + "\n".join(lines) + "\n"), truth, lines


def test_measures_are_those_worked_out_by_hand():
    np.testing.assert_allclose(hit_rate(BY_HAND), [0.8, 1, np.nan, 0.5])
    np.testing.assert_allclose(false_alarm_rate(BY_HAND), [0.1, 0, 0.75, np.nan])
    np.testing.assert_allclose(corrected(BY_HAND), [0.7, 1, np.nan, np.nan])
    z = NormalDist().inv_cdf
    wanted = [z(8.5 / 11) - z(1.5 / 11), z(10.5 / 11) - z(0.5 / 11), np.nan, np.nan]
    np.testing.assert_allclose(d_prime(BY_HAND), wanted)
    np.testing.assert_allclose(d_prime(BY_HAND)[:2], [1.8447, 3.3812], atol=1e-4)  # of tables of z


def test_both_ways_to_write_a_response_mean_the_same(table):
    words = table(
        HEADER + "a.jpg,x,repeat,hit\na.jpg,y,repeat,miss\na.jpg,x,foil,false alarm\nb.jpg,y,Foil,Rejection\n"
    )
    digits = table(
        HEADER.replace(",", ";") + "a.jpg;x;repeat;1\na.jpg;y;repeat;0\na.jpg;x;foil;1\nb.jpg;y;foil;0\n", "d"
    )
    for path in (words, digits):
        trials = read_trials(path)
        assert (trials.ids, trials.observers) == (("a.jpg", "b.jpg"), ("x", "y"))
        assert [column.tolist() for column in trials.counts()] == [[1, 0], [1, 0], [1, 0], [0, 1]]


@pytest.mark.parametrize(("lines", "message"), [
    ("", r"trials .*t\.csv: expected at least one trial, found none"),
    ("a.jpg,x,repeat,hit\na.jpg,x,again,hit", r"t\.csv:3: expected trial to be repeat or foil, found 'again'"),
    ("a.jpg,x,foil,hit", r"t\.csv:2: expected response to a foil to be false-alarm, 1, rejection, 0, found 'hit'"),
    ("a.jpg,x,repeat,", r"t\.csv:2: expected response to a repeat to be hit, 1, miss, 0, found ''"),
    ("a.jpg,,repeat,hit", r"t\.csv:2: expected an observer, found none"),
    ("../a.jpg,x,repeat,hit", r"t\.csv:2: expected an image path below the image root"),
])  # fmt: skip
def test_a_bad_line_is_named(table, lines, message):
    with pytest.raises(DatasetError, match=message) as raised:
        read_trials(table(HEADER + lines))
    assert "\n" not in str(raised.value)


def test_scores_and_counts_are_those_of_a_plain_loop(experiment, tmp_path):
    path, _, lines = experiment
    seen = defaultdict(lambda: defaultdict(int))
    for line in lines:
        image, _, _, response = line.split(",")
        seen[image][response] += 1
    write_scores(tmp_path / "s.csv", read_trials(path), "corrected")
    with open(tmp_path / "s.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["id"] for row in rows} == set(seen)
    for row in rows:
        hits, misses, alarms, rejections = (seen[row["id"]][k] for k in ("hit", "miss", "false-alarm", "rejection"))
        found = [int(row[k]) for k in ("hits", "misses", "false_alarms", "rejections")]
        assert found == [hits, misses, alarms, rejections]
        rate, wrong = hits / (hits + misses), alarms / (alarms + rejections)
        assert (float(row["hit_rate"]), float(row["false_alarm_rate"])) == (rate, wrong)
        assert float(row["score"]) == float(row["corrected"]) == rate - wrong


@pytest.mark.parametrize("measure", [*MEASURES])
def test_consistency_is_that_of_a_plain_loop(experiment, measure):
    path, _, lines = experiment
    found = split_half(read_trials(path), MEASURES[measure], 7, seed=3)
    people = sorted({line.split(",")[1] for line in lines})
    for number in range(7):
        order = np.random.Generator(keyed_philox("halves", 3, number)).permutation(len(people))
        first = {people[k] for k in order[: len(people) // 2]}
        counts = [defaultdict(lambda: [0, 0, 0, 0]) for _ in range(2)]
        for line in lines:
            image, person, _, response = line.split(",")
            counts[person not in first][image][("hit", "miss", "false-alarm", "rejection").index(response)] += 1
        both = sorted(set(counts[0]) & set(counts[1]))
        a, b = (MEASURES[measure](Counts(*np.array([half[image] for image in both]).T)) for half in counts)
        assert found.rhos[number] == pytest.approx(spearmanr(a, b).statistic)
    assert (found.mean, found.spread) == pytest.approx((found.rhos.mean(), found.rhos.std(ddof=1)))
    assert found.reliability == pytest.approx(2 * found.mean / (1 + found.mean))
    assert found.ceiling == pytest.approx(math.sqrt(found.reliability))


def test_neither_the_order_of_the_lines_nor_other_seeds_names_matter(experiment, table):
    path, _, lines = experiment
    again = table(HEADER + "\n".join(sorted(lines)), "sorted.csv")
    one, other = (split_half(read_trials(file), hit_rate, 5) for file in (path, again))
    np.testing.assert_allclose(one.rhos, other.rhos)
    assert not np.allclose(one.rhos, split_half(read_trials(path), hit_rate, 5, seed=1).rhos)


def test_the_ceiling_is_what_a_perfect_prediction_reaches(table):
    draw = np.random.default_rng(1)
    truth, lines = draw.normal(0.65, 0.15, 600).clip(0.02, 0.98), []
    for person in range(40):
        lines += [f"{k}.jpg,{person},repeat,{int(draw.random() < p)}" for k, p in enumerate(truth)]
    trials = read_trials(table(HEADER + "\n".join(lines)))
    reached = spearmanr(hit_rate(trials.counts()), truth).statistic
    assert split_half(trials, hit_rate, 25).ceiling == pytest.approx(reached, abs=0.02)


def test_what_is_not_defined_is_nan_and_not_an_error(table):
    one = read_trials(table(HEADER + "a.jpg,x,repeat,hit\nb.jpg,x,repeat,miss\n"))
    found = split_half(one, hit_rate, 3)
    assert np.isnan([*found.rhos, found.mean, found.spread, found.reliability, found.ceiling]).all()
    against = read_trials(table(HEADER + "a,x,repeat,1\nb,x,repeat,0\na,y,repeat,0\nb,y,repeat,1\n"))
    opposed = split_half(against, hit_rate, 3)
    assert opposed.mean == -1
    assert np.isnan([opposed.reliability, opposed.ceiling]).all()
    assert np.isnan(rank_correlation(np.ones(3), np.arange(3.0)))


def test_the_command_makes_what_relabel_takes(make_collection, table, tmp_path):
    lines = ["a.jpg,x,repeat,hit", "a.jpg,y,repeat,miss", "b.jpg,x,repeat,hit", "b.jpg,y,repeat,hit", "c.jpg,x,foil,0"]
    path, out = table(HEADER + "\n".join([*lines, lines[0]])), tmp_path / "s.csv"
    result = amnet_cache("trials", path, "--out", out, "--halves", 4)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        f"{out}: 2 of 3 images have a score (hit-rate), from 6 trials of 2 observers",
        "split-half consistency of hit-rate: mean Spearman rho undefined (sd undefined) over 4 random halves of the "
        "observers, 4 of them without rho, 2 images",
        "reliability of all observers together (Spearman-Brown): undefined",
        "noise ceiling, its square root: undefined",
    ]
    assert "note: 1 trials are of an image that the same observer had in a trial of that kind before" in result.stderr
    features = make_collection(done=[0, 1])
    relabelled = amnet_cache("relabel", features, "--labels", out, "--out", tmp_path / "g.h5")
    assert relabelled.exit_code == 0, relabelled.output
    np.testing.assert_allclose(Collection(tmp_path / "g.h5").labels[:3], [2 / 3, 1, np.nan])


def test_nothing_is_written_over_and_wrong_use_is_one_line(table, tmp_path):
    path = table(HEADER + "a.jpg,x,repeat,hit\n")
    for words, message in (
        (("--out", path), f"--out {path}: expected a new file, found one that exists"),
        (("--out", tmp_path / "none" / "s.csv"), "cannot be written"),
        (("--out", tmp_path / "s.csv", "--halves", 1001), "1<=x<=1000"),
    ):
        result = amnet_cache("trials", path, *words)
        assert (result.exit_code, message in result.stderr) == (2, True)
    assert path.read_text() == HEADER + "a.jpg,x,repeat,hit\n"
    assert [one.name for one in tmp_path.iterdir()] == ["t.csv"]


def test_the_command_gives_the_figures_of_the_experiment(experiment, tmp_path):
    path, _, _ = experiment
    trials = read_trials(path)
    for measure in MEASURES:
        wanted = split_half(trials, MEASURES[measure], 25)
        result = amnet_cache("trials", path, "--measure", measure, "--out", tmp_path / f"{measure}.csv")
        assert f"mean Spearman rho {wanted.mean:.4f} (sd {wanted.spread:.4f}) over 25 random halves" in result.stdout
        assert f"(Spearman-Brown): {wanted.reliability:.4f}\n" in result.stdout
        assert f"noise ceiling, its square root: {wanted.ceiling:.4f}\n" in result.stdout
