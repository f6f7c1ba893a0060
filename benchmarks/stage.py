"""One line of the bench suite."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """What was measured, and how near it comes to what the machine can do at most."""

    name: str
    rate: float
    unit: str
    share: float | None = None  # of `limit`
    limit: str = ""
    note: str = ""


def markdown(machine: Mapping[str, object], limits: Mapping[str, str], stages: Sequence[Stage],
             ratios: Mapping[str, float]) -> str:  # fmt: skip
    """The tables of a run."""
    lines = [", ".join(f"{key} {value}" for key, value in machine.items()), "", "| limit, measured | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in limits.items()]
    lines += ["", "| stage | | share of the limit | |", "|---|---|---|---|"]
    for stage in stages:
        share = f"{100 * stage.share:.0f} % of {stage.limit}" if stage.share is not None else ""
        lines.append(f"| {stage.name} | {short(stage.rate)} {stage.unit} | {share} | {stage.note} |")
    lines += ["", "| ratio | |", "|---|---|", *(f"| {name} | {value:.2f} |" for name, value in ratios.items())]
    return "\n".join(lines) + "\n"


def short(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
