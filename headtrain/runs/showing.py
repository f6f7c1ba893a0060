"""What a run is, as lines of text: each setting with its source, departures marked, and what came out."""

from collections.abc import Iterator
from pathlib import Path

from headtrain.heads.checkpoint import BEST, read_provenance
from headtrain.heads.provenance import Provenance
from headtrain.runs.folder import METRICS, RUN, read_json
from headtrain.settings.configuration import SETTINGS, Config
from headtrain.settings.presets import PAPER, PRESETS, Preset


def run_lines(run: Path) -> Iterator[str]:
    """All lines. Raises RunError if the folder is no run."""
    begun = read_json(run / RUN) if (run / RUN).exists() else {}
    checkpoint = run / BEST if run.is_dir() else run
    config = Config.from_dict(begun["config"]) if "config" in begun else read_provenance(checkpoint).config
    origin = f", imported from {begun['imported_from']}" if "imported_from" in begun else ""
    yield f"{run}: preset {config.preset}{origin} (* not as in the paper, ** not as in the preset)"
    yield from setting_lines(config)
    if checkpoint.exists():
        yield from trained_on(read_provenance(checkpoint))
    if (run / METRICS).exists():
        yield from result_lines(run)


def setting_lines(config: Config) -> Iterator[str]:
    """A line for each setting: mark, name, value, the paper's value where another, and the source."""
    preset = PRESETS.get(config.preset, Preset(PAPER))
    usual, paper = preset.config.values(), PAPER.values()
    for name, value in config.values().items():
        departs, own = value != paper[name], value != usual[name]
        mark = "**" if own else "* " if departs else "  "
        source = f"set for this run; {SETTINGS[name].about}" if own else preset.source(name)
        instead = f" (paper: {_text(paper[name])})" if departs else ""
        yield f"{mark} {name:21} {_text(value) + instead:28} {source}"


def trained_on(provenance: Provenance) -> Iterator[str]:
    """Which features and which epoch."""
    spec = provenance.spec
    trunk = f"{spec.get('trunk', 'unknown')} {str(spec.get('weights_sha256', ''))[:12]}".rstrip()
    yield f"trunk {trunk}, views {spec.get('view_plan', {}).get('name', 'unknown')}"
    if provenance.epoch is not None:
        yield f"split {provenance.split}, epoch {provenance.epoch}"


def result_lines(run: Path) -> Iterator[str]:
    """The test, and both epochs that the paper gives for LaMem."""
    found = read_json(run / METRICS)
    test, (low, high) = found["test"], map(_fixed, found.get("interval", (None, None)))  # older runs have none
    yield (f"test: rho {_fixed(test['rho'])} [{low}, {high}], MSE {test['mse']:.5f}, {test['n']} images; "
           f"epochs chosen on {found['selected_on']}")  # fmt: skip
    for name, key in (("highest rho", "best"), ("lowest MSE", "lowest_mse")):
        if epoch := found.get(key):
            rho = _fixed(epoch["val_rho"])
            yield f"validation, {name}: epoch {epoch['epoch']}, rho {rho}, MSE {epoch['val_mse']:.5f}"


def _text(value: object) -> str:
    return "from the data" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _fixed(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
