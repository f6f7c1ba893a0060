"""Memory that runs out is one line that names what takes less, and no error of amnet itself."""

import click
import pytest
import torch
from click.testing import CliRunner
from pretended_gpu import NO_MEMORY

from amnet_common.commands import BAD_INPUT, OneLineErrors, ending
from amnet_common.errors import DeviceMemoryError
from amnet_common.out_of_memory import is_out_of_memory, reason

MPS = "MPS backend out of memory (MPS allocated: 8.50 GB, max allowed: 9.07 GB)."
CPU = "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried 9 B"
CUBLAS = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
FOUND = (
    "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 7.78 GiB of which 1.02 GiB is free"
)


def raised_from(cause: Exception) -> Exception:
    error = RuntimeError("the compiler failed")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(NO_MEMORY),
        RuntimeError(MPS),
        RuntimeError(CPU),
        RuntimeError(CUBLAS),
        MemoryError("Unable to allocate 9 GiB for an array"),
        raised_from(torch.OutOfMemoryError(NO_MEMORY)),
    ],
    ids=["cuda", "mps", "cpu", "cublas", "numpy", "as a cause"],
)
def test_what_says_that_memory_ran_out_is_one_line_and_a_refusal(error):
    assert is_out_of_memory(error)
    line, status = ending(error)
    assert line == f"expected enough memory, found too little ({reason(error)})"
    assert status == BAD_INPUT
    assert "\n" not in line


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("out of memory"), None])
def test_other_errors_are_none_of_these(error):
    assert not is_out_of_memory(error)


def test_the_line_has_how_much_was_asked_for_and_no_advice_of_torch():
    assert reason(torch.OutOfMemoryError(NO_MEMORY)) == FOUND
    assert reason(raised_from(torch.OutOfMemoryError(NO_MEMORY))) == FOUND
    assert reason(MemoryError()) == "MemoryError"


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ((), ""),
        (("--device",), "; what takes less: --device cpu"),
        (
            ("--batch-size", "--residency", "--resume"),
            "; what takes less: --residency ram or disk, a smaller --batch-size; --resume goes on from what is saved",
        ),
        (("--heads-per-pass",), "; what takes less: a smaller --heads-per-pass"),
    ],
)
def test_a_command_names_those_of_its_options_that_take_less(options, advice):
    @click.command(cls=OneLineErrors)
    def command(**_):
        raise torch.OutOfMemoryError(NO_MEMORY)

    command.params += [click.Option([option]) for option in options]
    result = CliRunner().invoke(command, [])
    assert result.exit_code == BAD_INPUT
    assert result.stderr == f"command: expected enough memory, found too little ({FOUND}){advice}\n"


def test_main_memory_is_no_cure_for_main_memory():
    assert "--device" not in ending(RuntimeError(CPU), ["--device"])[0]
    assert ending(RuntimeError(MPS), ["--device"])[0].endswith("; what takes less: --device cpu")


def test_an_error_that_says_what_to_do_keeps_its_line():
    assert ending(DeviceMemoryError("this"), ["--batch-size"]) == ("this", BAD_INPUT)
