"""`--engine ray`: extraction, scoring and sweeps by the workers of a real Ray on this machine."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors import safe_open

from amnet_common.collection import Collection
from amnet_common.datasets import Dataset
from amnet_common.ray_tasks import Cluster, Need
from extract.compute import Compute
from extract.job import Job
from extract.pipeline import RowReport
from extract.ray_blocks import in_messages
from extract.ray_engine import blocks_of, need_of
from extract.request import Request

pytestmark = [
    pytest.mark.xdist_group("ray"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # of processes that Ray begins
]
RAY = ("--engine", "ray")


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.ray)])
def test_workers_give_the_bytes_of_one_process(pictures, extract, unlike_rows, ray_workers, count):
    dataset, words = pictures(9, broken=(5,)), ("--dtype", "uint8")  # whose scales are of all rows
    with ray_workers(count, wait_for=count) as workers:
        several = extract(dataset, "--out", "ray.h5", *words, *RAY)
        assert len(workers.pids) == count
    one = extract(dataset, "--out", "one.h5", *words)
    assert (several.exit_code, one.exit_code) == (1, 1), several.stderr  # a picture fails
    assert unlike_rows("ray.h5", "one.h5") == []
    assert Collection("ray.h5").spec == Collection("one.h5").spec
    assert "8 images done (8 now), 1 failed, 0 pending" in several.stdout
    assert several.stdout.count("\n") == 1
    assert several.stderr.count("failed: 005.png: ") == 1
    assert "9 blocks for Ray, 4 at once, each with 1 CPU\n" in several.stderr


def digest(dataset, row):
    return hashlib.sha256((dataset.image_root / dataset.ids[row]).read_bytes()).hexdigest()


@pytest.mark.parametrize(("blind", "killed"), [
    pytest.param(False, True, marks=pytest.mark.ray), (True, False), pytest.param(True, True, marks=pytest.mark.ray),
])  # fmt: skip
def test_block_of_a_killed_worker_is_done_again_whether_it_sees_the_file_or_sends_rows(
    pictures, extract, unlike_rows, ray_workers, blind, killed
):
    dataset = pictures(6)
    extract(dataset, "--out", "ray.h5", "--limit", "1")  # which is not done again
    with ray_workers(2, die_at=digest(dataset, 3) if killed else "", blind=blind) as workers:
        run = extract(dataset, "--out", "ray.h5", *RAY)
        assert not workers.dies or not killed
    assert (run.exit_code, "6 images done (5 now), 0 failed, 0 pending" in run.stdout) == (0, True), run.stderr
    extract(dataset, "--out", "one.h5")
    assert unlike_rows("ray.h5", "one.h5") == []


@pytest.mark.ray
def test_block_that_kills_each_worker_is_named_and_the_rest_is_done(pictures, extract, ray_workers):
    dataset = pictures(4)
    with ray_workers(2, die_at=digest(dataset, 3), always=True):
        run = extract(dataset, "--out", "t.h5", *RAY)
    assert (run.exit_code, "3 images done (3 now), 0 failed, 1 pending" in run.stdout) == (2, True)
    line = next(line for line in run.stderr.splitlines() if line.startswith("block 4 of 4: "))
    assert line.startswith("block 4 of 4: lost its worker 4 times (WorkerCrashedError: ")
    assert line.endswith("; 1 of 1 images are left for the same command")
    assert extract(dataset, "--out", "t.h5").exit_code == 0


def test_worker_that_sees_no_image_leaves_its_block(pictures, extract, ray_workers):
    dataset = pictures(3)
    with ray_workers(1, unseen=True):
        run = extract(dataset, "--out", "t.h5", *RAY)
    assert run.exit_code == 2
    assert "3 blocks of 3: " in run.stderr
    assert "expected the images on every machine of the cluster, found none of them on " in run.stderr
    assert run.stderr.endswith("; mount the folder there; 3 of 3 images are left for the same command\n")
    assert Collection("t.h5").status.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--address", "auto"), "--address: expected with --engine ray, found without"),
        (("--engine", "ray", "--address", "ray://head:10001"), "--address: expected auto or HOST:PORT of a cluster"),
        (
            ("--engine", "ray", "--address", "127.0.0.1:9"),
            "--address: expected a Ray cluster at 127.0.0.1:9, found that",
        ),
        (("--engine", "ray", "--devices", "all"), "--devices: expected without --engine ray, which gives each task a"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(pictures, extract, words, message, tmp_path):
    refused = extract(pictures(1), *words)
    assert (refused.exit_code, refused.stdout) == (75 if "127" in message else 2, "")  # a cluster may come
    assert refused.stderr.startswith(f"main: {message}")
    assert not (tmp_path / "t.h5").exists()


def test_without_ray_the_extra_is_named(pictures, extract, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    refused = extract(pictures(1), *RAY)
    assert (refused.exit_code, refused.stderr) == (
        2, "main: --engine ray: expected the package ray, found none; pip install 'amnet[ray]'\n"
    )  # fmt: skip


@pytest.mark.parametrize(("count", "places", "row_bytes", "sizes"), [
    (10, 1, 1, [2, 3, 2, 3]), (3, 4, 1, [1, 1, 1]), (10, 1, 2**29, [2] * 5), (4, 1, 2**33, [1] * 4),
])  # fmt: skip
def test_blocks_are_even_bounded_in_bytes_and_cover_what_is_to_be_done(count, places, row_bytes, sizes, tmp_path):
    ids = tuple(f"{row}.jpg" for row in range(2 * count))
    request = Request(tmp_path / "t.h5", Dataset("folder", tmp_path, ids), "untrained")
    rows = tuple(range(1, 2 * count, 2))
    job = Job(request, None, rows[1:], redo=rows[:1], missing=frozenset(rows[-1:]))
    blocks = blocks_of(job, "cpu", places, row_bytes)
    assert [row for block in blocks for row in block.all] == [*rows]
    assert [len(block.all) for block in blocks] == sizes
    assert [block.redo for block in blocks] == [rows[:1], *[()] * (len(blocks) - 1)]
    assert blocks[-1].missing == {rows[-1]}
    assert (blocks[0].row_range.start, blocks[-1].row_range.stop) == (0, 2 * count)


def test_reports_come_in_as_many_lists_whoever_has_been_done_before():
    rows, reports = [3, 5, 8, 9, 12], [RowReport(5), RowReport(8), RowReport(3, "broken"), RowReport(12)]
    found = [[report.row for report in some] for some in in_messages(reports, rows, 2)]
    assert found == [[5], [8, 3], [12]]
    assert [*in_messages([], rows, 2)] == [[], [], []]


@pytest.fixture
def trained(features, tmp_path, head):
    words = ("--epochs", 1, "--hidden", 8, "--regress-hidden", 4, "--device", "cpu")
    assert head("train", "--features", features, "--out", tmp_path / "run", *words).exit_code == 0
    return tmp_path / "run"


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.ray)])
def test_workers_one_of_which_is_killed_score_to_the_table_of_one_process(
    features, trained, tmp_path, ray_workers, head, monkeypatch, count
):
    monkeypatch.setattr("headtrain.scoring.job.BLOCK", 2)
    monkeypatch.setattr("headtrain.scoring.ensemble.BATCH", 4)
    words = ("score", "--features", features, "--head", trained, "--device", "cpu")
    one = head(*words, "--out", tmp_path / "one.csv")
    monkeypatch.setattr("headtrain.scoring.ray_engine.BLOCKS_A_TASK", {"cpu": 1 if count > 2 else 2})
    with ray_workers(count, die_at=3, wait_for=count // 2) as workers:  # the second block of the first task
        several = head(*words, "--out", tmp_path / "ray.csv", "--engine", "ray")
        assert len(workers.pids) >= count // 2
        assert not workers.dies  # one has
    assert (one.exit_code, several.exit_code) == (0, 0), several.stderr
    assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
    assert several.stdout.startswith(f"{tmp_path / 'ray.csv'}: 12 images scored; ")
    said = [json.loads((tmp_path / f"{name}.csv.json").read_text()) for name in ("one", "ray")]
    assert said[0] | {"made": said[1]["made"]} == said[1]
    with ray_workers(1):  # what is there is not scored again
        more = head(*words, "--out", tmp_path / "ray.csv", "--engine", "ray", "--append")
    assert (more.exit_code, ": 0 images scored, 12 kept; " in more.stdout) == (0, True)
    assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()


def made(folder):
    """What every run has come to: the bytes of each tensor of its weights, what they say of themselves, in any order,
    and the bytes of its test predictions.
    """
    found = {}
    for path in folder.rglob("test.csv"):
        with safe_open(path.with_name("best.safetensors"), "pt") as file:
            tensors = {name: file.get_tensor(name).numpy().tobytes() for name in file.keys()}  # noqa: SIM118
            found[str(path.parent.relative_to(folder))] = path.read_bytes(), tensors, file.metadata()
    return found


@pytest.mark.ray
def test_passes_are_tasks_and_that_of_a_killed_worker_goes_on(features, tmp_path, ray_workers, head):
    words = ("sweep", "--features", features, "--hidden", 8, "--regress-hidden", 4, "--no-attention", "--grid",
             "lr=1e-3,1e-2", "--split", 1, "--heads-per-pass", 1, "--epochs", 3, "--device", "cpu")  # fmt: skip
    with ray_workers(2, die_at="lr=0.01") as workers:
        several = head(*words, "--out", tmp_path / "ray", "--engine", "ray")
        assert not workers.dies  # one has
    assert several.exit_code == 0, several.stderr
    assert (
        "2 configurations on 1 splits: 2 heads in 2 passes, by Ray, 4 tasks at once, each with 1 CPU\n"
        in several.stderr
    )
    assert head(*words, "--out", tmp_path / "one").exit_code == 0
    assert made(tmp_path / "ray") == made(tmp_path / "one")
    assert len(made(tmp_path / "one")) == 2


def test_a_search_is_not_for_ray(features, tmp_path, head):
    refused = head("sweep", "--features", features, "--out", tmp_path / "s", "--engine", "ray", "--trials", 3)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--engine ray: expected without --trials, which are chosen by" in refused.stderr


@pytest.mark.ray
def test_stopped_command_keeps_what_is_finished_and_the_same_command_ends_with_the_bytes_of_one_process(
    pictures, tmp_path, unlike_rows
):
    dataset, short = pictures(16), tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    words = ["--dataset", "folder", "--root", dataset.image_root, "--augs", "1", "--weights", "untrained",
             "--precision", "float32", "--threads", "1", "--device", "cpu"]  # fmt: skip

    def begun(out, *more):
        command = [sys.executable, "-P", "-c", "from extract.cli import main; main()", *words, "--out", out, *more]
        before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            return subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                    env=os.environ | {"RAY_TMPDIR": short}, cwd=tmp_path)  # fmt: skip
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def ended(process):
        output, notes = process.communicate(timeout=600)
        assert "Traceback" not in notes, notes
        return process.returncode, output, notes

    cut = begun("ray.h5", *RAY)
    out = tmp_path / "ray.h5"
    while cut.poll() is None and not (out.exists() and (Collection(out).status == 1).any()):
        time.sleep(0.2)
    cut.send_signal(signal.SIGTERM)
    status, output, notes = ended(cut)
    assert (status, output) == (143, "")
    assert notes.endswith("ray.h5 keeps what is finished; the same command again goes on from there\n")
    assert 0 < (Collection(out).status == 1).sum() < 16
    status, output, _ = ended(begun("ray.h5", *RAY, "--json"))
    assert (status, json.loads(output)["counts"]["pending"]) == (0, 0)
    assert ended(begun("one.h5"))[0] == 0
    assert unlike_rows(out, tmp_path / "one.h5") == []
    shutil.rmtree(short)


@pytest.mark.ray
def test_a_library_is_kept_in_step_by_workers(pictures, extract, ray_workers):
    dataset = pictures(6)
    with ray_workers(2):
        assert extract(dataset, "--out", "s.h5", "--sync", *RAY).exit_code == 0
        (dataset.image_root / "001.png").unlink()
        (dataset.image_root / "006.png").write_bytes((dataset.image_root / "000.png").read_bytes())
        night = extract(dataset, "--out", "s.h5", "--sync", *RAY)
    assert (night.exit_code, "s.h5: 6 images: 6 done, 0 failed, 0 pending, in 2 parts\n" in night.stdout) == (0, True)
    extract(dataset, "--out", "one.h5")
    one, several = Collection("one.h5"), Collection("s.h5")
    assert one.ids == several.ids
    rows, views = np.repeat(np.arange(6), 2), np.tile([0, 1], 6)
    assert (one.read(rows, views, check=True) == several.read(rows, views, check=True)).all()


def cluster_of(*machines):
    """A cluster of machines with (CPUs, GPUs), of which the last is gone."""
    nodes = [{"Alive": True, "Resources": {"CPU": float(cpus)} | ({"GPU": float(gpus)} if gpus else {})}
             for cpus, gpus in machines]  # fmt: skip
    nodes[-1]["Alive"] = False
    return Cluster(SimpleNamespace(nodes=lambda: nodes))


def test_tasks_take_the_cards_of_each_machine_with_their_part_of_its_cpus():
    cluster = cluster_of((64, 8), (12, 2), (4, 0), (99, 9))
    compute = Compute("cuda", "float16", 256, 1, False, ())
    need = need_of(compute, None, cluster)
    assert (need, str(need)) == (Need(6, 1), "6 CPUs and 1 GPU")
    assert cluster.places(need) == [8, 2]
    assert cluster.places(need_of(compute, 16, cluster)) == [4]
    assert cluster.places(Need(3)) == [21, 4, 1]
    assert need_of(compute, None, cluster_of((8, 1))) == Need(1, 1)  # there is no machine yet
