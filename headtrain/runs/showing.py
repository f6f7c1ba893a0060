"""What a run is, as lines of text: each setting with its source, departures marked, and what came out."""

from collections.abc import Iterator
from pathlib import Path

from amnet_common.collection.joint_spec import described, specs_in
from amnet_common.making import made_line
from headtrain.evaluation.metrics import METRICS
from headtrain.heads.checkpoint import BEST, read_provenance
from headtrain.heads.provenance import Provenance
from headtrain.runs.documents import Result, read_begun, read_result
from headtrain.runs.folder import RESULT, RUN
from headtrain.settings.configuration import Config
from headtrain.settings.described import OWN, described_settings
from headtrain.settings.presets import preset

RHO = METRICS["rho"]


def run_lines(run: Path) -> Iterator[str]:
    """Yield all lines about a run folder or a checkpoint file. Raises RunError if it is none."""
    begun = read_begun(run) if (run / RUN).exists() else None
    checkpoint = run / BEST if run.is_dir() else run
    config = begun.config if begun else read_provenance(checkpoint).config
    origin = f", imported from {begun.imported_from}" if begun and begun.imported_from else ""
    version = f" version {config.version}" if config.version > 1 else ""
    yield f"{run}: preset {config.preset}{version}{origin} (* not as in the paper, ** not as in the preset)"
    if begun and (line := made_line(begun.made)):
        yield f"made {line}"
    yield from setting_lines(config)
    if checkpoint.exists():
        yield from trained_on(read_provenance(checkpoint))
    if (run / RESULT).exists():
        yield from result_lines(read_result(run))


def preset_lines(name: str) -> Iterator[str]:
    """Yield all lines about a preset: its settings, each with its source. Raises ConfigError if there is none."""
    config = preset(name).config
    version = f" version {config.version}" if config.version > 1 else ""
    yield f"preset {config.preset}{version} (* not as in the paper)"
    yield from setting_lines(config)


def setting_lines(config: Config) -> Iterator[str]:
    """Yield a line for each setting: mark, name, value, the paper's value where another, and the source."""
    for name, value, paper, mark, source in described_settings(config):
        instead = f" (paper: {paper})" if paper and value != paper else ""
        yield f"{mark:{len(OWN)}} {name:21} {value + instead:28} {source}"


def trained_on(provenance: Provenance) -> Iterator[str]:
    """Yield lines that tell which features and which epoch a head is of."""
    for spec in specs_in(provenance.spec):
        yield f"trunk {described(spec)}"
    if provenance.epoch is not None:
        yield f"split {provenance.split}, epoch {provenance.epoch}"


def result_lines(result: Result) -> Iterator[str]:
    """Yield a line for the test, and one for each of the two epochs that the paper gives for LaMem."""
    yield f"test: {described_test(result)}; epochs chosen on {result.selected_on}"
    for name, epoch in (("highest rho", result.best), ("lowest MSE", result.lowest_mse)):
        if epoch:
            yield f"validation, {name}: epoch {epoch.epoch}, rho {RHO.rounded(epoch.val_rho)}, MSE {epoch.val_mse:.5f}"


def described_test(result: Result) -> str:
    """Describe the figures of a test, or that there is none."""
    if not result.tested:
        return "none yet (--no-test)"
    low, high = map(RHO.rounded, (result.interval.low, result.interval.high))
    others = [f"{one.column} {one.rounded(getattr(result.test, name))}"
              for name, one in METRICS.items() if one.board and one is not RHO]  # fmt: skip
    return f"rho {RHO.rounded(result.test.rho)} [{low}, {high}], {', '.join(others)}, {result.test.n} images"
