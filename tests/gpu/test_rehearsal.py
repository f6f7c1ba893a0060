"""A rehearsal on a pretended GPU: what the commands make there has the very bits that they make on the CPU.

It sees operands on two devices, copies that nobody waited for, buffers that are filled again under a copy, cards that
are opened by mistake, float64 on a device that has none, how often the host waits, and what becomes of memory that runs
out. It cannot see kernels (cuDNN's, Triton's, whether compiled code is right), how much memory there really is, which
operators autocast turns to bfloat16 on a GPU (the CPU's lists are used), or how fast anything is.
"""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import safetensors.torch
from click.testing import CliRunner, Result
from PIL import Image
from pretended_gpu import PretendedGpu

from amnet_common.collection import Collection
from amnet_common.collection.layout import DONE
from amnet_common.collection.quantise import quantise, scales_from_maxima, scales_sha256
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.spec import Spec
from amnet_common.collection.writer import ImageFacts, RowWriter
from amnet_common.datasets import Dataset, SplitList
from extract.cli import main as amnet_extract
from headtrain.cli import main as amnet_head
from headtrain.features.residency import Placement, load, needed
from headtrain.features.splits import split_subsets
from headtrain.heads.checkpoint import load_head
from headtrain.settings.configuration import TrainingConfig
from headtrain.training.epoch import predict_subset

WAITS_A_STEP = 0  # of the host, however many heads; but for events, where views come from elsewhere than the card
WAITS_A_VALIDATION = 3  # scales, where views stand, scores
WAITS_A_PASS = 4  # of training: keys, the order of the targets, where views stand, losses
SAVING = ("heads/checkpoint.py", "training/resume.py")  # when that is due is decided by the clock

SHAPE, VIEWS = (2, 3, 8), 3
LISTS = {"train_1": range(12), "val_1": range(12, 18), "test_1": range(18, 24)}
SMALL = ("--hidden", 6, "--regress-hidden", 4, "--batch-size", 4, "--least-updates", 0, "--no-compile", "--split", 1)
BANK = ("--seeds", 2, "--heads-per-pass", 2)


class AtOnce:
    """In place of a pool that reads ahead: a buffer is filled again at the first moment at which it may be."""

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> "AtOnce":
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, work: Callable, *given: object) -> Future:
        future: Future = Future()
        future.set_result(work(*given))
        return future


@pytest.fixture(autouse=True)
def buffers_are_filled_at_once(monkeypatch):
    monkeypatch.setattr("amnet_common.collection.prefetch.ThreadPoolExecutor", AtOnce)


def done(command: Callable, *words: object) -> Result:
    result = CliRunner().invoke(command, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result


def refuse_sins(gpu: PretendedGpu, card: str) -> None:
    """What must hold of all that ran on a card."""
    assert gpu.races == []
    assert {opened for opened, _ in gpu.opened} == {card}


def card_of(device: str) -> str:
    return device if ":" in device else f"{device}:0"


def made(folder: Path) -> dict[str, bytes]:
    """The weights and the test predictions below a folder, by their path in it."""
    found = {path: path.read_bytes() for path in folder.rglob("test.csv")}
    for path in folder.rglob("*.safetensors"):
        found[path] = safetensors.torch.save(safetensors.torch.load_file(path))  # without what says when and where
    return {str(path.relative_to(folder)): data for path, data in found.items()}


@pytest.fixture(scope="module")
def features(tmp_path_factory) -> dict[str, Path]:
    """A small collection of each dtype, with lists."""
    folder = tmp_path_factory.mktemp("features")
    scores = np.random.default_rng(1).uniform(0.3, 0.9, 24)
    lists = {name: SplitList(np.array(rows), scores[list(rows)]) for name, rows in LISTS.items()}
    dataset = Dataset("test", folder, tuple(f"{row:02}.jpg" for row in range(24)), lists)
    values = np.random.default_rng(0).random((24, VIEWS, *SHAPE), np.float32)
    values += scores[:, None, None, None, None].astype(np.float32)
    scales = scales_from_maxima(values.max((0, 1, 2, 3)))
    for dtype in ("float16", "uint8"):
        codes = scales if dtype == "uint8" else None
        of = replace(SPEC, dtype=dtype, scales_sha256=None if codes is None else scales_sha256(codes))
        create_skeleton(folder / f"{dtype}.h5", dataset, VIEWS, of, {"mode": "eager"}, {}, codes)
        with RowWriter(folder / f"{dtype}.h5") as writer:
            for row, view in np.ndindex(24, VIEWS):
                stored = (
                    values[row, view].astype(np.float16) if codes is None else quantise(values[row, view], codes)[0]
                )
                writer.write_view(row, view, stored)
                if view == VIEWS - 1:
                    writer.finish(row, ImageFacts(width=60, height=40), np.zeros((VIEWS, 5), np.float32))
    return {path.stem: path for path in folder.glob("*.h5")}


SPEC = Spec("own:net", "own", "00" * 32, "rgb8", {"name": "t", "augs": 2}, 0, "float32", "float16", None, SHAPE,
            {"size": 64})  # fmt: skip


@pytest.fixture(scope="module")
def on_cpu(features, tmp_path_factory) -> Callable[..., Path]:
    """on_cpu(command, dtype, *words) -> the folder of what the CPU makes, each once."""
    known: dict[tuple[object, ...], Path] = {}

    def make(command: str, dtype: str, *words: object) -> Path:
        if (key := (command, dtype, *words)) not in known:
            known[key] = tmp_path_factory.mktemp("cpu") / "out"
            done(amnet_head, command, "--features", features[dtype], *words, "--device", "cpu", "--out", known[key])
        return known[key]

    return make


@pytest.fixture
def divided(monkeypatch) -> Callable[[], None]:
    """divided() makes memory small: room for 10 views of float16 on a card, for 8 in main memory."""

    def divide() -> None:
        of_a_view = 2 * int(np.prod(SHAPE))
        free = {"cuda": -(-10 * of_a_view * 10 // 6), "cpu": 8 * of_a_view * 2}
        monkeypatch.setattr("amnet_common.machine.memory.available_bytes", free.__getitem__)

    return divide


DIVIDED = "views: gpu + ram + disk (0.0 GB, too much for "


@pytest.mark.parametrize("residency", ["gpu", "ram", "disk", "auto"])
@pytest.mark.parametrize("preset", ["paper", "released", "amnet"])
def test_a_bank_trains_as_on_the_cpu_wherever_its_views_are(preset, residency, features, on_cpu, tmp_path, divided):
    dtype = "uint8" if residency == "ram" else "float16"
    words = ("--preset", preset, "--epochs", 1, "--precision", "float32", *BANK, *SMALL)
    wanted = made(on_cpu("sweep", dtype, *words))
    with PretendedGpu() as gpu:
        if residency == "auto":
            divided()
        words = (*words, "--device", "cuda", "--residency", residency, "--out", tmp_path / "s")
        result = done(amnet_head, "sweep", "--features", features[dtype], *words)
    assert (DIVIDED if residency == "auto" else f"views: {residency} (0.0 GB, as --residency says)") in result.stderr
    assert made(tmp_path / "s") == wanted
    refuse_sins(gpu, "cuda:0")


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_bfloat16_products_are_those_of_the_cpu(dtype, features, on_cpu, tmp_path):
    words = ("--epochs", 1, "--precision", "bfloat16", *BANK, *SMALL)
    wanted = made(on_cpu("sweep", dtype, *words))
    with PretendedGpu() as gpu:
        done(amnet_head, "sweep", "--features", features[dtype], *words, "--device", "cuda", "--out", tmp_path / "s")
    assert made(tmp_path / "s") == wanted
    refuse_sins(gpu, "cuda:0")


@pytest.mark.parametrize("device", ["cuda:1", "mps"])
@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_another_device_trains_as_the_cpu(device, dtype, features, on_cpu, tmp_path):
    words = ("--epochs", 2, "--precision", "float32", *SMALL)
    wanted = made(on_cpu("train", dtype, *words))
    with PretendedGpu(device) as gpu:
        done(amnet_head, "train", "--features", features[dtype], *words, "--device", device, "--out", tmp_path / "t")
    assert made(tmp_path / "t") == wanted
    refuse_sins(gpu, card_of(device))


def test_a_card_without_kernels_leaves_a_training_to_the_cpu_which_says_so(features, on_cpu, tmp_path, monkeypatch):
    words = ("--epochs", 2, "--precision", "float32", *SMALL)
    wanted = made(on_cpu("train", "float16", *words))
    monkeypatch.setattr("amnet_common.machine.devices.why_unusable", lambda _: "CUDA error: no kernel image")
    with PretendedGpu() as gpu:
        result = done(amnet_head, "train", "--features", features["float16"], *words, "--out", tmp_path / "t")
    note = "warning: --device auto: the GPU is left out, the CPU computes: CUDA error: no kernel image\n"
    assert result.stderr.count(note) == 1
    assert made(tmp_path / "t") == wanted
    assert not gpu.opened


@pytest.mark.parametrize("preset", ["released", "amnet"])
def test_a_training_that_was_stopped_ends_as_an_undisturbed_one(preset, features, on_cpu, tmp_path):
    words = ("--preset", preset, "--precision", "float32", *SMALL)
    wanted = made(on_cpu("train", "float16", "--epochs", 3, *words))
    with PretendedGpu() as gpu:
        words = ("--features", features["float16"], *words, "--device", "cuda", "--out", tmp_path / "t")
        done(amnet_head, "train", *words, "--epochs", 1, "--keep-state")
        done(amnet_head, "train", *words, "--epochs", 3, "--resume")
    assert made(tmp_path / "t") == wanted
    refuse_sins(gpu, "cuda:0")


def test_a_training_goes_on_with_its_views_elsewhere(features, on_cpu, tmp_path, divided):
    words = ("--precision", "float32", *SMALL)
    wanted = made(on_cpu("train", "float16", "--epochs", 3, *words))
    with PretendedGpu() as gpu:
        words = ("--features", features["float16"], *words, "--device", "cuda", "--out", tmp_path / "t")
        begun = done(amnet_head, "train", *words, "--epochs", 1, "--keep-state")
        divided()
        ended = done(amnet_head, "train", *words, "--epochs", 3, "--resume")
    assert "views: gpu (0.0 GB of 70.0 GB free there)" in begun.stderr
    assert f"{DIVIDED}0.6 of the GPU's 0.0 GB and for half of the 0.0 GB of main memory: " in ended.stderr
    assert "10 views, 0.0 GB, on the GPU; 8 views, 0.0 GB, in main memory; 12 views, 0.0 GB, on the " in ended.stderr
    assert made(tmp_path / "t") == wanted
    refuse_sins(gpu, "cuda:0")


def test_views_that_are_all_to_be_on_a_card_too_small_for_them_are_refused_in_one_line(features, tmp_path, divided):
    divided()
    words = ("train", "--features", features["float16"], *SMALL, "--device", "cuda", "--residency", "gpu", "--out")
    with PretendedGpu():
        result = CliRunner().invoke(amnet_head, [str(word) for word in (*words, tmp_path / "t")])
    assert result.exit_code == 2, result.output
    line = result.stderr.strip().splitlines()[-1]
    assert "--residency gpu: expected 0.0 GB free on the GPU for 30 views, found 0.0 GB; --residency auto puts" in line
    assert not (tmp_path / "t").exists()


@pytest.fixture(scope="module")
def heads(on_cpu, features, tmp_path_factory) -> list[Path]:
    """A trained head, and kernels, which pool views."""
    folder = tmp_path_factory.mktemp("baselines") / "b"
    done(amnet_head, "baseline", "--features", features["uint8"], "--split", 1, "--out", folder)
    return [on_cpu("train", "uint8", "--epochs", 2, "--precision", "float32", *SMALL), folder / "moments-kernel"]


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
@pytest.mark.parametrize("views", ["centre", "all"])
def test_scores_are_those_of_the_cpu(device, views, heads, features, tmp_path):
    words = ["--features", features["uint8"], "--precision", "float32", "--no-compile", "--views", views]
    words += [word for one in heads for word in ("--head", one)]
    done(amnet_head, "score", *words, "--device", "cpu", "--out", tmp_path / "cpu.csv")
    with PretendedGpu(device) as gpu:
        done(amnet_head, "score", *words, "--device", device, "--out", tmp_path / "gpu.csv")
    assert (tmp_path / "gpu.csv").read_bytes() == (tmp_path / "cpu.csv").read_bytes()
    refuse_sins(gpu, card_of(device))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for n in range(3):
        noise = np.random.default_rng(n).integers(0, 256, (40, 50 + n, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{n}.png")
    return folder


@pytest.mark.parametrize(
    ("trunk", "dtype", "precision", "device"),
    [
        ("resnet50-layer3", "uint8", "bfloat16", "cuda:1"),
        ("resnet18-layer3@64", "float16", "float32", "cuda"),
        ("resnet18-layer3@64", "float16", "float32", "mps"),
        ("resnet18-layer3@64", "uint8", "float32", "cuda:1"),
    ],
)
def test_features_are_those_of_the_cpu(trunk, dtype, precision, device, pictures, tmp_path):
    words = ("--dataset", "folder", "--root", pictures, "--weights", "untrained", "--augs", 0, "--batch-size", 2,
             "--trunk", trunk, "--dtype", dtype, "--precision", precision, "--no-compile")  # fmt: skip
    done(amnet_extract, *words, "--device", "cpu", "--out", tmp_path / "cpu.h5")
    with PretendedGpu(device) as gpu:
        done(amnet_extract, *words, "--device", device, "--out", tmp_path / "gpu.h5")
    with h5py.File(tmp_path / "cpu.h5") as wanted, h5py.File(tmp_path / "gpu.h5") as found:
        for name in ("segments/0000", "checksums", "views"):
            assert found[name][:].tobytes() == wanted[name][:].tobytes(), name
    assert (Collection(tmp_path / "gpu.h5").status == DONE).all()
    assert Collection(tmp_path / "gpu.h5").kernel_path["device"] == device.partition(":")[0]
    refuse_sins(gpu, card_of(device))


@pytest.mark.parametrize("residency", ["gpu", "ram", "disk", "auto"])
def test_the_host_waits_no_oftener_a_step_than_it_is_known_to(residency, features, tmp_path, divided):
    waits, events = [], []
    if residency == "auto":
        divided()
    for size in (4, 2):  # three steps, six
        with PretendedGpu() as gpu:
            words = ("--epochs", 1, *BANK, *SMALL, "--batch-size", size, "--device", "cuda", "--residency", residency)
            done(amnet_head, "sweep", "--features", features["float16"], *words, "--out", tmp_path / str(size))
        refuse_sins(gpu, "cuda:0")
        waits.append(Counter({line: n for line, n in gpu.waits.items() if not line.startswith(SAVING)}))
        events.append(Counter({line: n for line, n in gpu.events.items() if line.startswith("features/")}))
    more = waits[1] - waits[0]
    assert more.total() <= 3 * WAITS_A_STEP, more.most_common()
    assert ((events[1] - events[0]).total() == 0) == (residency == "gpu"), events


@pytest.mark.parametrize("counts", [(30, 0), (0, 30), (0, 0), (7, 8)])
def test_validation_waits_once_however_many_batches_and_heads_it_has(counts, on_cpu, features):
    words = ("--seeds", 3, "--heads-per-pass", 3, "--epochs", 1, "--precision", "float32", *SMALL)
    runs = sorted(path.parent for path in on_cpu("sweep", "uint8", *words).rglob("best.safetensors"))
    collection = Collection(features["uint8"])
    subsets = split_subsets(collection, 1, 0, allow_missing=False)
    held = needed(subsets, VIEWS, [TrainingConfig()])
    waits = []
    for size, count in ((6, 1), (1, 1), (6, 3), (1, 3)):
        wanted = [predict_subset([load_head(run)], collection, subsets.val, 0, size)[0] for run in runs[:count]]
        with PretendedGpu() as gpu:
            heads = [load_head(run).to("cuda") for run in runs[:count]]
            source = load(
                collection, Placement(*counts, 30 - sum(counts), ""), held, "cuda", lambda _: None, check=True
            )
            before = gpu.waits.total()
            found = predict_subset(heads, source, subsets.val, 0, size)
            waits.append(gpu.waits.total() - before)
        assert found.tobytes() == np.stack(wanted).tobytes()  # of each head alone, on the CPU
        refuse_sins(gpu, "cuda:0")
    assert len({*waits}) == 1
    assert waits[0] <= WAITS_A_VALIDATION


def test_an_epoch_waits_no_oftener_for_three_heads_than_for_one(features, tmp_path):
    waits = Counter()
    for heads, epochs in ((1, 2), (1, 3), (3, 2), (3, 3)):
        words = ("--seeds", heads, "--heads-per-pass", heads, "--epochs", epochs, *SMALL, "--device", "cuda")
        with PretendedGpu() as gpu:
            out = tmp_path / f"{heads}-{epochs}"
            done(amnet_head, "sweep", "--features", features["uint8"], *words, "--out", out)
        waits[heads, epochs] = sum(n for line, n in gpu.waits.items() if not line.startswith(SAVING))
    of_one, of_three = (waits[heads, 3] - waits[heads, 2] for heads in (1, 3))
    assert of_one == of_three <= WAITS_A_VALIDATION + WAITS_A_PASS


def test_a_pass_without_room_is_halved_and_ends_as_passes_of_that_size(features, on_cpu, tmp_path):
    words = ("--seeds", 4, "--epochs", 2, "--precision", "float32", *SMALL)
    wanted = made(on_cpu("sweep", "float16", *words, "--heads-per-pass", 2))
    with PretendedGpu() as gpu:
        gpu.largest = 2 * (4 * 6 * 8 * 4)  # bytes of the LSTM's weights for its input, of two heads
        words = ("--features", features["float16"], *words, "--device", "cuda", "--residency", "disk")
        result = done(amnet_head, "sweep", *words, "--heads-per-pass", 4, "--out", tmp_path / "s")
    assert made(tmp_path / "s") == wanted
    assert "note: no room for 4 heads together (CUDA out of memory. " in result.stderr
    assert "they go on from their saved epochs, at most 2 together" in result.stderr
    refuse_sins(gpu, "cuda:0")


def test_memory_that_runs_out_of_a_training_is_one_line_and_what_is_saved_goes_on(features, on_cpu, tmp_path):
    words = ("--epochs", 3, "--precision", "float32", *SMALL)
    wanted = made(on_cpu("train", "float16", *words))
    words = ("train", "--features", features["float16"], *words, "--device", "cuda", "--out")
    with PretendedGpu() as gpu:
        done(amnet_head, *words, tmp_path / "whole")
    words = (*words, tmp_path / "t")
    last = int(0.6 * gpu.ran)  # in the second epoch
    with PretendedGpu() as gpu:
        gpu.last = last
        result = CliRunner().invoke(amnet_head, [str(word) for word in words])
        assert result.exit_code == 2, result.output
        line = result.stderr.strip().splitlines()[-1]
        assert line.startswith("main train: expected enough memory, found too little (CUDA out of memory. Tried to")
        cures = "--residency ram or disk, a smaller --batch-size, --device cpu"
        assert line.endswith(f"{cures}; --resume goes on from what is saved")
        gpu.last = None
        assert "epoch   1" in result.stderr
        done(amnet_head, *words, "--resume")
    assert made(tmp_path / "t") == wanted


def test_a_sweep_in_which_no_head_has_room_says_so_of_each(features, tmp_path):
    with PretendedGpu() as gpu:
        gpu.largest = 100
        words = [
            "--features",
            features["float16"],
            *BANK,
            *SMALL,
            "--residency",
            "disk",
            "--device",
            "cuda",
            "--out",
            tmp_path / "s",
        ]
        result = CliRunner().invoke(amnet_head, ["sweep", *map(str, words)])
    assert result.exit_code == 1, result.output
    assert result.stdout.count("left out: no room for it even alone (CUDA out of memory. ") == 2
    assert "Traceback" not in result.output
