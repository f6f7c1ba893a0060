"""A small file of every kind that a command reads, and its reader as the commands use it."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from amnet_common.collection import Collection
from amnet_common.collection.description import info_lines
from amnet_common.collection.joining import link
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.spec import Spec
from amnet_common.collection.verify import verify_rows, verify_structure
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import Dataset, SplitList
from amnet_common.errors import AmnetError
from headtrain.evaluation.metrics import METRICS, Metrics
from headtrain.evaluation.predictions import Predictions, write_predictions
from headtrain.heads.architectures import new_head
from headtrain.heads.checkpoint import save_head
from headtrain.heads.provenance import Provenance
from headtrain.leaderboard.board import head_rows
from headtrain.leaderboard.listing import listed
from headtrain.leaderboard.text import as_table
from headtrain.runs.documents import Diverged, Result, read_diverged, write_diverged, write_result
from headtrain.runs.folder import DIVERGED, RUN, STATE
from headtrain.runs.importing import read_released
from headtrain.runs.log import Epoch, read_log, write_log
from headtrain.runs.showing import run_lines
from headtrain.scoring.formats import is_table, read_rows, write_whole
from headtrain.scoring.rows import ScoreRow
from headtrain.settings.config_file import to_toml
from headtrain.settings.configuration import override
from headtrain.settings.presets import AMNET, RELEASED
from headtrain.sweep.space import read_range
from headtrain.sweep.study import Search
from headtrain.training.averaging import RunningAverage
from headtrain.training.resume import load_state, save_state

SPEC = Spec("resnet50-layer3", "torchvision", "00" * 32, "rgb8", {"name": "t", "augs": 1}, 0, "float32", "float16")
TINY = override(AMNET, locations=6, channels=5, hidden=4, regress_hidden=3, standardise=False)
RELEASED_TINY = override(RELEASED, locations=6, channels=5, hidden=4, regress_hidden=3)
SPACE = read_range("lr=1e-4:1e-2:log")


def a_collection(folder: Path, name: str = "t.h5") -> Path:
    """Two images, one of them done, in a split."""
    path, ids = folder / name, (f"{name}-a.jpg", f"{name}-b.jpg")
    splits = {f"{part}_1": SplitList(np.array([row]), np.array([0.5])) for row, part in enumerate(("train", "test"))}
    create_skeleton(path, Dataset("test", folder, ids, splits), 1, SPEC, {"mode": "eager"}, {"dataset": "t"})
    with RowWriter(path) as writer:
        writer.write_view(0, 0, np.ones((14, 14, 1024), np.float16))
        writer.finish(0, ImageFacts(width=30, height=20), np.zeros((1, 5), np.float32))
    return path


def a_link(folder: Path) -> Path:
    return link([a_collection(folder, "a.h5"), a_collection(folder, "b.h5")], folder / "all.h5").collection.path


def read_collection(path: Path) -> None:
    """As info, verify and training do."""
    collection = Collection(path)
    assert all(info_lines(collection))
    verify_structure(path)
    for part in collection.parts:
        for _ in verify_rows(part):
            pass
    for row in np.flatnonzero(collection.status == 1)[:4]:
        with suppress(AmnetError):
            collection.read([row], check=True)


def a_run(folder: Path, name: str) -> Path:
    """A finished run; the file of that name."""
    epochs = [Epoch(1, 0.1, 0.2, 0.5, 0.02, 1.5, best=True), Epoch(2, 0.1, 0.2, 0.4, 0.03, 1.5)]
    begun = {"config": TINY.as_dict(), "split": 1, "selected_on": "val_1", "optimistic": False, "fingerprint": "ab",
             "images": "cd", "precision": "float32", "features": "f.h5", "compiled": False}  # fmt: skip
    (folder / RUN).write_text(json.dumps(begun))
    write_log(folder, epochs)
    if name == DIVERGED:
        write_diverged(folder, Diverged(2, "its loss is no number"))
    else:
        metrics = Metrics(**dict.fromkeys(METRICS, 0.25), n=8)
        told = {"preset": "amnet", "selected_on": "val_1", "features": "f.h5", "fingerprint": "ab"}
        write_result(Result(folder, 1, metrics, best=epochs[0], val_rho=0.5, views=(0,), **told))
    return folder / name


def read_run(path: Path) -> None:
    """As runs and show do."""
    found = listed(path.parent)
    if found.heads:
        as_table(head_rows(found.heads))
    read_diverged(path.parent)
    read_log(path.parent)
    for _ in run_lines(path.parent):
        pass


def a_head(folder: Path) -> Path:
    spec = {"trunk": "resnet50-layer3", "seed": 0, "view_plan": {"name": "t", "augs": 1}}
    save_head(folder / "best.safetensors", new_head(TINY.head), Provenance(TINY, spec, 1, 2))
    return folder / "best.safetensors"


def fresh() -> tuple[torch.nn.Module, torch.optim.Optimizer, RunningAverage]:
    head = new_head(TINY.head)
    return head, torch.optim.Adam(head.parameters(), 1e-3), RunningAverage(head, 0.9)


def a_state(folder: Path) -> Path:
    head, optimiser, average = fresh()
    head(torch.rand(2, 6, 5)).score.sum().backward()
    optimiser.step()
    save_state(folder, head, optimiser, average, dict(average.head.state_dict()), [Epoch(1, 0.1, best=True)])
    return folder / STATE


def read_state(path: Path) -> None:
    """As `--resume` does."""
    found = fresh()
    load_state(path.parent, *found)
    found[1].step()


def a_released_checkpoint(folder: Path, zipped: bool) -> Path:
    """A small one of the authors' names, as a torch of either time writes it."""
    path, state = folder / "w.pkl", new_head(RELEASED_TINY.head).state_dict()
    torch.save({"model": state}, path, _use_new_zipfile_serialization=zipped)
    return path


def read_checkpoint(path: Path) -> None:
    """As import does."""
    found = read_released(path, 3, True)
    found.passed_over(found.head())


def a_table(folder: Path, kind: str) -> Path:
    rows = [ScoreRow(f"{k}.jpg", "scored", "f.h5", 0.5, (0.1, 0.2, 0.2), 0.1, 0.9) for k in range(20)]
    write_whole(folder / f"s.{kind}", kind, rows, 3)
    return folder / f"s.{kind}"


def read_table(path: Path, kind: str) -> None:
    """As score --append does."""
    is_table(path)
    for _ in read_rows(path, kind, 3):
        pass


def a_text(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def a_frame() -> Any:
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame({"id": [f"{k}.jpg" for k in range(9)], "score": np.linspace(0, 1, 9)})


def a_workbook(folder: Path) -> Path:
    a_frame().to_excel(folder / "l.xlsx", index=False)
    return folder / "l.xlsx"


def a_file_of_spss(folder: Path) -> Path:
    pytest.importorskip("pyreadstat").write_sav(a_frame(), folder / "l.sav")
    return folder / "l.sav"


def a_config(folder: Path) -> Path:
    return a_text(folder, "c.toml", to_toml(AMNET))


def predictions(folder: Path) -> Path:
    scores = np.linspace(0, 1, 9)
    write_predictions(folder / "test.csv", Predictions(tuple(f"{k}.jpg" for k in range(9)), scores, scores))
    return folder / "test.csv"


def a_study(folder: Path) -> Path:
    search = Search(folder, [], [SPACE], 0, {})
    for trial in search.ask(2):
        search.tell(trial, 0.5)
    return folder / "study.db"


def read_study(path: Path) -> None:
    """As a search that goes on does."""
    search = Search(path.parent, [], [SPACE], 0, {})
    for trial in search.ask(1):
        search.tell(trial, 0.25)


def a_picture(folder: Path, name: str, **how: object) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    Image.fromarray(pixels).save(folder / name, **how)
    return folder / name
