"""What tests of every package use: the shared data folder, a spec, and small collections."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from amnet_common.collection import Collection
from amnet_common.collection.layout import VIEW_SHAPE
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.spec import Spec
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import Dataset
from tests.support.s3 import Server, Store, program

os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch's threads wait for each other by spinning: bad on busy cores
settings.register_profile("amnet", deadline=None, max_examples=50)  # no test may fail because the machine is busy
settings.load_profile("amnet")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--no-first-run")  # fmt: skip


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data; see its README."""
    folder = Path(os.environ.get("AMNET_SHARED") or Path(__file__).parents[2] / "shared")
    if not folder.is_dir():
        pytest.skip(f"no shared data: expected the folder {folder}; say where with AMNET_SHARED")
    return folder


@pytest.fixture(scope="module")
def s3_server(tmp_path_factory):
    """A real S3 server on this machine, over an empty folder; not for longer: once used, rclone keeps a core busy."""
    for package in ("fsspec", "s3fs"):
        pytest.importorskip(package, reason=f"{package}, of the extra remote, is not installed")
    if program() is None:
        pytest.skip("no S3 server: rclone is not installed")
    server = Server(tmp_path_factory.mktemp("buckets"))
    yield server
    server.end()


@pytest.fixture
def s3(s3_server, tmp_path, monkeypatch):
    """The server as amnet finds it, and a cache of its own."""
    monkeypatch.setattr("amnet_common.remote.FIRST_PAUSE", 0.01)
    return Store(s3_server, monkeypatch, tmp_path / "cache")


@pytest.fixture
def spec() -> Spec:
    return Spec("resnet50-layer3", "torchvision", "00" * 32, "rgb8", {"name": "t", "augs": 1}, 0, "float32", "float16")


def features_of(row: int, view: int, shape: tuple[int, ...] = VIEW_SHAPE) -> np.ndarray:
    """(14, 14, 1024) float16: what `make_collection` stores, different for every row and view."""
    return np.random.default_rng([row, view]).random(shape, np.float32).astype(np.float16)


@pytest.fixture
def make_collection(tmp_path: Path, spec: Spec) -> Callable[..., Path]:
    """make(ids=.., views=2, done=(rows), failed={row: reason}, of=spec, **dataset fields) -> path of a new one."""

    def make(
        ids=("a.jpg", "b.jpg", "c.jpg", "d.jpg"), views=2, done=(), failed=None, name="t.h5", of=spec, **fields
    ) -> Path:
        path = tmp_path / name
        create_skeleton(path, Dataset("test", tmp_path, tuple(ids), **fields), views, of, {"mode": "eager"}, {})
        with RowWriter(path) as writer:
            for row in done:
                for view in range(views):
                    writer.write_view(row, view, features_of(row, view, of.shape))
                writer.finish(row, ImageFacts(width=30, height=20), np.full((views, 5), row, np.float32))
            for row, reason in (failed or {}).items():
                writer.fail(row, ImageFacts(), reason)
        assert len(Collection(path)) == len(ids)
        return path

    make.features_of = features_of
    return make


@pytest.fixture(scope="session")
def browser():
    """Debian's chromium, or another Chrome. Skipped where none can be had; with
    AMNET_BROWSER=required, as CI sets it, that is an error.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        message = f"no browser: expected one of {', '.join(BROWSERS)}; apt-get install chromium"
        assert os.environ.get("AMNET_BROWSER") != "required", message
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=found, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """open_page(path, **context) -> the page, whose console errors and foreign requests end the test."""
    opened, complaints = [], []

    def open_page(path, **context):
        page = browser.new_page(**context)
        opened.append(page)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: request.url.startswith(("file:", "data:")) or complaints.append(request.url))
        page.goto(path.as_uri())
        return page

    open_page.complaints = complaints
    yield open_page
    for page in opened:
        page.close()
    assert complaints == []
