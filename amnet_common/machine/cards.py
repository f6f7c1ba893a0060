"""The cards of a machine that a command is to use together: `--devices all`, `0,1`, `cuda:0,cuda:1`.

`cpu,cpu` is two processes of the CPU, which stand for cards where there are none.
"""

import re
from collections import Counter

from amnet_common.errors import ConfigError

ALL, CPU = "all", "cpu"
CARD = re.compile(r"(?:cuda:)?([0-9]{1,9})")


def parse_devices(text: str, device: str = "auto") -> tuple[str, ...]:
    """Parse a list of cards into torch's names; of `all` none is named yet. `device`: of --device, which goes without.

    Raises ConfigError for what is no list of cards, names one twice, or the CPU beside cards.
    """
    if device != "auto":
        raise ConfigError(f"--devices: expected without --device, found --device {device} too; say one of both")
    if text.strip() == ALL:
        return ()
    named = [_named(word.strip(), text) for word in text.split(",")]
    for name, times in Counter(named).items():
        if times > 1 and name != CPU:
            raise ConfigError(f"--devices: expected each card once, found {name} again in {text!r}")
    if CPU in named and len(set(named)) > 1:
        raise ConfigError(f"--devices: expected cards, or processes of the CPU, found both in {text!r}")
    return tuple(named)


def _named(word: str, text: str) -> str:
    if word == CPU:
        return CPU
    if found := CARD.fullmatch(word):
        return f"cuda:{int(found[1])}"
    raise ConfigError(f"--devices: expected {ALL}, or cards such as 0,1 or cuda:0,cuda:1, found {text!r}")


def present_devices(named: tuple[str, ...]) -> tuple[str, ...]:
    """Return these devices, or all cards if none is named; the cards are counted, and none is opened.

    Raises ConfigError for a card that is not there, or where none is.
    """
    if CPU in named:
        return named
    import torch  # noqa: PLC0415 - takes seconds; what is no list is refused before

    cards = [f"cuda:{number}" for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)]
    if not cards:
        raise ConfigError("--devices: expected cards that torch can use, found none; --device cpu computes without")
    for name in named:
        if name not in cards:
            there = cards[0] if len(cards) == 1 else f"{cards[0]} to {cards[-1]}"
            raise ConfigError(f"--devices: expected cards that are there ({there}), found {name}")
    return named or tuple(cards)
