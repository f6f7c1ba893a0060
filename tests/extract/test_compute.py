"""Device, arithmetic, batch and kernels: chosen once."""

import pytest
import torch

from amnet_common.errors import ConfigError
from extract.compute import COMPILED, EAGER, PAYS_FROM, Compute, Hardware, choose_compute


@pytest.mark.parametrize("batch_size", [0, -8])
def test_batch_below_1_is_refused(batch_size):
    with pytest.raises(ConfigError, match=f"--batch-size: expected 1 or more, found {batch_size}"):
        choose_compute(Hardware("cpu", batch_size=batch_size))


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "meta", ""])
def test_device_that_cannot_be_used_is_refused_with_one_line(device):
    with pytest.raises(
        ConfigError, match=f"--device: expected a device that torch can use, found '{device}'"
    ) as raised:
        choose_compute(Hardware(device))
    assert "\n" not in str(raised.value)


def test_kernel_path_says_what_the_last_bits_depend_on():
    path = choose_compute(Hardware("cpu", "float32", 4)).kernel_path()
    assert {
        "device": "cpu",
        "precision": "float32",
        "batch_size": 4,
        "torch": torch.__version__,
    }.items() <= path.items()


def test_kernel_path_tells_bfloat16_of_earlier_versions_apart():
    paths = [Compute("cpu", precision, 8, 1).kernel_path() for precision in ("bfloat16", "float32", "float16")]
    assert [path.get("first_convolutions") for path in paths] == ["float32", None, None]


def test_what_is_asked_for_is_kept_and_auto_is_resolved():
    assert choose_compute(Hardware("cpu", "bfloat16", 3)) == Compute("cpu", "bfloat16", 3, torch.get_num_threads())
    auto = choose_compute(Hardware())
    assert auto.precision in {"float32", "bfloat16", "float16"}
    assert auto.device == ("cuda" if torch.cuda.is_available() else "cpu")


BEGUN = {"device": "cpu", "precision": "float16", "batch_size": 5, "threads": 1}


def test_what_is_not_asked_for_is_as_the_file_was_begun():
    torch.set_num_threads(2)
    try:
        assert choose_compute(Hardware("cpu"), begun=BEGUN) == Compute("cpu", "float16", 5, 1)
        assert torch.get_num_threads() == 1
        assert choose_compute(Hardware("cpu", "float32", 3, 2), begun=BEGUN) == Compute("cpu", "float32", 3, 2)
    finally:
        torch.set_num_threads(1)


def test_another_kind_of_device_keeps_the_precision_alone(monkeypatch):
    monkeypatch.setattr("extract.compute._fastest_precision", lambda _: "bfloat16")
    begun = BEGUN | {"device": "cuda", "batch_size": 256, "threads": 99}
    assert choose_compute(Hardware("cpu", threads=1), begun=begun) == Compute("cpu", "float16", 8, 1)


def test_precision_of_a_newer_file_is_refused():
    with pytest.raises(ConfigError, match="--precision: expected float32, bfloat16, float16, found 'float8'"):
        choose_compute(Hardware("cpu"), begun=BEGUN | {"precision": "float8"})


@pytest.mark.parametrize(
    ("views", "able", "begun", "compiled"),
    [
        (PAYS_FROM["cpu"], True, None, True),
        (PAYS_FROM["cpu"] - 1, True, None, False),
        (PAYS_FROM["cpu"], False, None, False),
        (1, True, COMPILED, True),
        (10**9, True, EAGER, False),
    ],
)
def test_network_is_compiled_where_it_pays_and_a_file_goes_on_as_it_was_begun(
    monkeypatch, views, able, begun, compiled
):
    monkeypatch.setattr("extract.compute.compiler_works", lambda _: able)
    kept = {"device": "cpu", "mode": begun} if begun else None
    found = choose_compute(Hardware("cpu"), views, kept)
    assert (found.compiled, found.kernel_path()["mode"]) == (compiled, COMPILED if compiled else EAGER)


def test_compiling_is_a_matter_of_the_device_it_was_begun_on(monkeypatch):
    monkeypatch.setattr("extract.compute.compiler_works", lambda _: True)
    assert not choose_compute(Hardware("cpu"), 1, {"device": "cuda", "mode": COMPILED}).compiled


def test_asking_for_a_compiled_network_without_a_compiler_is_refused(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match="--compile: expected a compiler for cpu, found none that works"):
        choose_compute(Hardware("cpu", compiled=True))
