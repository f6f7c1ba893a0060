"""Whether torch can compile here."""

import logging
import os
import shutil
import sys

import torch


def compiler_works(device: str) -> bool:
    """Tell whether torch.compile has all it calls: a C++ compiler, Python's headers, on a GPU Triton. It is tried."""
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if not shutil.which(compiler):
        return False
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # a CUDA toolkit without a GPU is no news
    try:
        torch.compile(torch.tanh)(torch.zeros(8, device=device))
    except Exception:  # the compiler raises whatever it meets on a machine that lacks something
        return False
    return True


def no_compiler(device: str) -> str:
    """Return the line for a user who asked for compiled kernels where no compiler works."""
    return (f"--compile: expected a compiler for {device}, found none that works; install g++ and Python's headers "
            "(and triton for a GPU), or leave --compile out")  # fmt: skip
