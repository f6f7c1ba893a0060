"""A Ray on this machine, and what its workers are given: pictures, a trunk that costs nothing, a small head."""

import contextlib
import gc
import os
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from amnet_common.datasets import SplitList, load_dataset
from extract.cli import main as extract_main
from headtrain.cli import main as head_main


@pytest.fixture(scope="module")
def ray():
    """Ray with four CPUs of its own on this machine, whose workers are as tests/support/ray_workers.py says.

    Skipped where Ray is not installed.
    """
    ray = pytest.importorskip("ray", reason="no Ray: pip install 'amnet[ray]'")
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="ray-") as folder:
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        workers = Path(folder) / "workers"
        (workers / "pids").mkdir(parents=True)
        paths = os.pathsep.join(map(str, [Path(__file__).parents[2], Path(__file__).parents[1] / "support"]))
        settings = {"AMNET_TEST_FOLDER": workers, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1",
                    "RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
                    "RAY_memory_monitor_refresh_ms": "0"}  # fmt: skip
        for name, text in settings.items():
            patch.setenv(name, str(text))
        ray.init("local", num_cpus=4, num_gpus=0, include_dashboard=False, _temp_dir=folder, log_to_driver=False,
                 logging_level="ERROR", object_store_memory=10**8,
                 runtime_env={"worker_process_setup_hook": "ray_workers.set_up"})  # fmt: skip
        for number, handler in handlers.items():
            signal.signal(number, handler)
        yield ray
        ray.shutdown()
        gc.collect()  # what Ray leaves open is not for the tests after these


@dataclass
class RayWorkers:
    """What the workers of a test are told, and who has worked."""

    folder: Path

    @property
    def pids(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "pids").iterdir())

    @property
    def dies(self) -> bool:
        """Whether one is still to kill itself."""
        return (self.folder / "die-at").exists()


@pytest.fixture
def ray_workers(ray):
    """with ray_workers(2, die_at=.., blind=True) as workers: so many may work at once; wait_for=2: all of them do."""

    @contextlib.contextmanager
    def begin(count, **told):
        from ray.util import placement_group, remove_placement_group

        folder = Path(os.environ["AMNET_TEST_FOLDER"])
        for path in (folder / "pids").iterdir():
            path.unlink()
        for name, text in told.items():
            (folder / name.replace("_", "-")).write_text(str(text or ""))
        held = placement_group([{"CPU": 4 - count}]) if count < 4 else None  # of the four CPUs, what others have
        if held:
            ray.get(held.ready())
        try:
            yield RayWorkers(folder)
        finally:
            if held:
                remove_placement_group(held)
            for name in ("wait-for", "die-at", "always", "blind", "unseen"):
                (folder / name).unlink(missing_ok=True)

    return begin


@pytest.fixture
def pictures(tmp_path):
    """pictures(6, broken=(1, 3)) -> a folder dataset of six pictures, some of them unreadable."""

    def make(count, broken=()):
        root = tmp_path / "pictures"
        root.mkdir()
        for i in range(count):
            noise = np.random.default_rng(i).integers(0, 256, (60, 40 + 7 * i, 3), dtype=np.uint8)
            Image.fromarray(noise).save(root / f"{i:03}.png")
            if i in broken:
                (root / f"{i:03}.png").write_bytes(b"no picture")
        return load_dataset("folder", root)

    return make


def invoked(command, *words):
    result = CliRunner().invoke(command, [*map(str, words)], catch_exceptions=False)
    assert "Traceback" not in result.stderr
    return result


@pytest.fixture
def extract(tmp_path, monkeypatch):
    """extract(dataset, "--engine", "ray") -> amnet-extract in its own folder, with a trunk that costs nothing."""
    from light_trunk import MeanTrunk, light_weights

    monkeypatch.setattr("extract.opening.FrozenTrunk", MeanTrunk)
    monkeypatch.setattr("extract.opening.load_weights", light_weights)
    monkeypatch.chdir(tmp_path)
    words = ("--dataset", "folder", "--weights", "untrained", "--augs", 1, "--precision", "float32", "--threads", 1,
             "--batch-size", 2, "--device", "cpu")  # fmt: skip
    return lambda dataset, *more: invoked(extract_main, *words, "--root", dataset.image_root, *more)


@pytest.fixture
def head():
    """head("score", ...) -> amnet-head at its end."""
    return lambda *words: invoked(head_main, *words)


@pytest.fixture
def features(make_collection):
    """A collection of twelve images in one split."""
    scores, ids = np.linspace(0.3, 0.9, 12), tuple(f"{row:02}.jpg" for row in range(12))
    parts = {"train_1": range(4), "val_1": range(4, 10), "test_1": range(10, 12)}
    lists = {name: SplitList(np.array(rows), scores[list(rows)]) for name, rows in parts.items()}
    return make_collection(ids, done=range(12), splits=lists)


@pytest.fixture
def unlike_rows():
    """unlike_rows("a.h5", "b.h5") -> rows of which any byte differs: features, mark, boxes or checksums."""

    def stored(path):
        with h5py.File(path, locking=False) as file:
            return [file[name][:] for name in ("segments/0000", "images", "views", "checksums")]

    def compare(a, b):
        one, two = stored(a), stored(b)
        rows = range(len(one[0]))
        return [row for row in rows if any(x[row].tobytes() != y[row].tobytes() for x, y in zip(one, two, strict=True))]

    return compare
