"""A trunk made ready before the first row: compiled, and with room for its batches."""

import time
from dataclasses import replace

from amnet_common.commands import say
from extract.job import Job
from extract.opening import Tools
from extract.room import find_room


def made_ready(tools: Tools, job: Job) -> Tools:
    """Compile what is to be compiled, and on a GPU find room for the batches; say how long the one took, and what came
    of the other. Raises ConfigError if that cannot be done, DeviceMemoryError if there is no room.
    """
    request, compute, halved, started = job.request, tools.compute, "", time.monotonic()
    if compute.compiled:
        say("compiling the network, some 5 to 20 s ...", err=True)
    if compute.kind != "cpu":
        begun = str(request.out) if job.collection and not request.allow_other_kernels else ""
        halved = find_room(tools.trunk, request.dtype == "uint8", begun)
        tools = replace(tools, compute=tools.trunk.compute)
    elif compute.compiled:
        tools.trunk.warm_up()
    if compute.compiled:
        say(f"compiled in {time.monotonic() - started:.1f} s", err=True)
    if halved:
        say(f"note: {halved}", err=True)
    return tools
