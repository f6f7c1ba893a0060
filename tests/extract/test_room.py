"""A batch that has no room on a GPU: halved before the first row is written, one line afterwards."""

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from pretended_gpu import NO_MEMORY, PretendedGpu

from amnet_common.collection import Collection
from amnet_common.errors import ConfigError
from amnet_common.out_of_memory import is_out_of_memory
from extract.cli import main
from extract.compute import Compute
from extract.frozen_trunk import FrozenTrunk
from extract.makers import described
from extract.other_weights import load_other_weights

TRUNK = "resnet18-layer3@64"
VIEW = 64 * 32 * 32 * 4  # bytes of the largest tensor of a view: what the first convolution gives


def run(dataset, *words):
    given = ["--dataset", "folder", "--root", dataset.image_root, "--weights", "untrained", "--trunk", TRUNK,
             "--augs", 1, "--device", "cuda", *words]  # fmt: skip
    return CliRunner().invoke(main, [str(word) for word in given])


@pytest.fixture
def dataset(pictures):
    return pictures(3)


def test_batches_are_halved_before_the_file_is_made_which_says_so(dataset, tmp_path):
    with PretendedGpu() as gpu:
        gpu.largest = 3 * VIEW
        result = run(dataset, "--batch-size", 8, "--out", tmp_path / "halved.h5")
    assert result.exit_code == 0, result.output
    note = "note: cuda has no room for batches of 8 views, computing in batches of 2 (CUDA out of memory."
    assert result.stderr.count(note) == 1
    with PretendedGpu():
        assert run(dataset, "--batch-size", 2, "--out", tmp_path / "asked.h5").exit_code == 0
    with h5py.File(tmp_path / "halved.h5") as one, h5py.File(tmp_path / "asked.h5") as two:
        assert one["segments/0000"][:].tobytes() == two["segments/0000"][:].tobytes()
    assert Collection(tmp_path / "halved.h5").kernel_path == Collection(tmp_path / "asked.h5").kernel_path


def test_uint8_codes_are_tried_too(dataset, tmp_path):
    with PretendedGpu() as gpu:
        gpu.largest = VIEW
        result = run(dataset, "--batch-size", 4, "--dtype", "uint8", "--out", tmp_path / "t.h5")
    assert result.exit_code == 0, result.output
    assert "computing in batches of 1 " in result.stderr


def test_no_room_for_one_view_is_one_line_and_no_file(dataset, tmp_path):
    with PretendedGpu() as gpu:
        gpu.largest = VIEW // 2
        result = run(dataset, "--batch-size", 4, "--out", tmp_path / "t.h5")
    assert result.exit_code == 2
    assert "--device cuda: expected memory for one view, found too little (CUDA out of memory." in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "t.h5").exists()


@pytest.fixture
def begun(dataset, tmp_path):
    with PretendedGpu():
        assert run(dataset, "--batch-size", 4, "--limit", 1, "--out", tmp_path / "t.h5").exit_code == 0
    return tmp_path / "t.h5"


def test_a_file_with_rows_keeps_its_batches_and_the_line_says_what_to_do(dataset, begun):
    with PretendedGpu() as gpu:
        gpu.largest = 2 * VIEW
        refused = run(dataset, "--out", begun)
        allowed = run(dataset, "--out", begun, "--allow-other-kernels")
    assert refused.exit_code == 2
    assert "for the 4 views of a batch of " in refused.stderr
    assert "--batch-size 2 --allow-other-kernels" in refused.stderr
    assert allowed.exit_code == 0, allowed.output
    assert "computing in batches of 2 " in allowed.stderr


def test_memory_that_runs_out_later_is_one_line_and_finished_rows_are_kept(dataset, tmp_path, monkeypatch):
    usual, batches = FrozenTrunk.__call__, []

    def call(trunk, pixels):
        batches.append(len(pixels))
        if len(batches) > 2 + 2:  # two that are tried, two images
            raise torch.OutOfMemoryError(NO_MEMORY)
        return usual(trunk, pixels)

    with PretendedGpu(), monkeypatch.context() as patched:
        patched.setattr(FrozenTrunk, "__call__", call)
        result = run(dataset, "--batch-size", 2, "--out", tmp_path / "t.h5")
    assert result.exit_code == 2
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("main: --batch-size: expected memory for batches of 2 views, found too little (CUDA out of")
    assert "t.h5 keeps what is finished; the same command again goes on from there when there is more, or with " in line
    assert line.endswith("--batch-size 1 --allow-other-kernels")
    with PretendedGpu():
        again = run(dataset, "--out", tmp_path / "t.h5")
    assert again.exit_code == 0, again.output
    assert "(1 now)" in again.stdout or "(2 now)" in again.stdout  # one may have waited to be written


@pytest.mark.parametrize("says", [NO_MEMORY, "no such operator"])
def test_the_compiler_is_not_blamed_for_memory(monkeypatch, says):
    about = described(TRUNK)
    trunk = FrozenTrunk(load_other_weights(about, "untrained", 0), Compute("cpu", "float32", 2, 1))

    def fail(_):
        raise torch.OutOfMemoryError(says) if says is NO_MEMORY else RuntimeError(says)

    monkeypatch.setattr(trunk, "run", fail)
    with pytest.raises((ConfigError, RuntimeError)) as caught:
        trunk.warm_up()
    assert is_out_of_memory(caught.value) == (says is NO_MEMORY)
    assert isinstance(caught.value, ConfigError) == (says is not NO_MEMORY)


def test_features_in_memory_are_computed_in_batches_that_have_room():
    from amnet import extract_features

    images = [np.full((64, 64, 3), value, np.uint8) for value in (0, 90, 255)]
    wanted = extract_features(images, "untrained", device="cpu", trunk=TRUNK)
    with PretendedGpu() as gpu:
        gpu.largest = 20 * VIEW
        found = extract_features(images, "untrained", device="cuda", trunk=TRUNK)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
