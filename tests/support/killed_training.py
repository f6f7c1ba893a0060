"""A training that is killed in its second epoch."""

import pytest

from headtrain.training import loop


def kill_in_the_second_epoch(patched: pytest.MonkeyPatch) -> None:
    """Let every training end as by Ctrl-C when its second epoch begins, until the patch is undone."""
    once = loop.one_epoch

    def killed(team, setup):
        if team.going[0].epochs:
            raise KeyboardInterrupt
        return once(team, setup)

    patched.setattr(loop, "one_epoch", killed)
