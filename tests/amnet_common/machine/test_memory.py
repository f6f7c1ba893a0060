import platform
import subprocess
import sys

import pytest

# rounds of making and freeing 64 MB, and the page faults of the last one
ROUNDS = """
import resource, sys
import numpy as np
from amnet_common.machine.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(1 << 23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep freed memory")
def test_kept_memory_is_used_again_without_page_faults():
    faults = {
        mode: int(subprocess.run([sys.executable, "-c", ROUNDS, mode], check=True, capture_output=True).stdout)
        for mode in ("keep", "return")
    }
    assert faults["keep"] < 10 < faults["return"]
