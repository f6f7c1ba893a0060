"""Weights of a trunk other than the usual one: of a file of its whole network, published by its maker, or untrained."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from amnet_common.errors import WeightsError
from amnet_common.state_dicts import PREFIXES, float32, read_state_dict
from extract.grid_trunk import wanted_state
from extract.makers import maker_of
from extract.nodes import on_meta
from extract.trunk_description import TrunkDescription
from extract.variants import TORCHVISION
from extract.weight_source import UNTRAINED, Expected, chosen_source
from extract.weights import ANY, Weights, shape_of, some

COUNTER = "num_batches_tracked"


def load_other_weights(trunk: TrunkDescription, source: str | None, seed: int = 0, expected: Expected = ANY) -> Weights:
    """Load the weights of a trunk that `source` names, by $AMNET_WEIGHTS if it is None, or else its maker's first.

    `seed`: of untrained weights. Raises WeightsError if they cannot be found, downloaded or read, do not fit the trunk,
    or are others than `expected`.
    """
    with expected.named():
        weights = _load(trunk, source, seed)
        expected.refuse_other(weights.sha256, weights.source)
    return weights


def _load(trunk: TrunkDescription, source: str | None, seed: int) -> Weights:
    source = chosen_source(source, trunk.published)
    variant = replace(TORCHVISION, name=trunk.maker)
    if source == UNTRAINED:
        return Weights(source, replace(variant, name=f"{trunk.maker}-untrained"), untrained_state(trunk, seed), trunk)
    name = source
    if source in trunk.published:
        state: Mapping[str, Any] = maker_of(trunk.maker).download(trunk, source)
    else:
        name, (state, _) = Path(source).name, read_state_dict(Path(source))
    found, hashed = fitted(trunk, state, source)
    return Weights(name, variant, found, trunk, hashed)


def untrained_state(trunk: TrunkDescription, seed: int) -> dict[str, Tensor]:
    """Make random weights as the network's maker does, always the same of a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)  # torch takes no larger ones
        return wanted_state(maker_of(trunk.maker).network(trunk))


def fitted(
    trunk: TrunkDescription, state: Mapping[str, Any], where: str
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the trunk's part of a file's tensors, as float32, and the same as the file has them: embeddings may have
    been resized for the trunk's input.

    Raises WeightsError that names what is missing, belongs to another network or has the wrong shape.
    """
    maker = maker_of(trunk.maker)
    wanted, whole = on_meta(lambda: wanted_state(maker.network(trunk))), maker.whole(trunk)
    below = under_prefix(state, wanted)
    try:
        found = maker.adapted(trunk, below)
    except Exception as error:  # a maker's function meets whatever stands in the file
        reason = str(error).partition("\n")[0][:200]
        raise WeightsError(f"{where}: expected the tensors of {trunk.state}, found others ({reason})") from error
    missing = [name for name in wanted if not isinstance(found.get(name), Tensor)]
    if missing:
        raise WeightsError(f"{where}: {len(missing)} of {len(wanted)} tensors of {trunk.state} are missing: "
                           f"{some(missing)}")  # fmt: skip
    refuse_strangers(trunk, found, wanted, whole, where)
    unlike = [f"{name} (expected {tuple(tensor.shape)}, found {shape_of(found[name])})"
              for name, tensor in wanted.items() if shape_of(found[name]) != tuple(tensor.shape)]  # fmt: skip
    if unlike:
        raise WeightsError(f"{where}: {len(unlike)} tensors of the wrong shape: {some(unlike)}")
    taken = {name: float32(found[name]) for name in wanted}
    as_filed = {name: float32(below[name]) for name in wanted if _resized(below.get(name), taken[name])}
    return taken, {**taken, **as_filed}


def under_prefix(state: Mapping[str, Any], wanted: Iterable[str]) -> dict[str, Any]:
    """Return a file's tensors below the known prefix under which the most of `wanted` stand, by their names there."""
    names, keys = set(wanted), [key for key in state if isinstance(key, str)]
    prefix = max(PREFIXES, key=lambda prefix: sum(key.removeprefix(prefix) in names for key in keys
                                                  if key.startswith(prefix)))  # fmt: skip
    return {key.removeprefix(prefix): state[key] for key in keys if key.startswith(prefix)}


def refuse_strangers(
    trunk: TrunkDescription, found: Mapping[str, Any], wanted: Iterable[str], whole: set[str], where: str
) -> None:
    """Raise WeightsError for tensors that the whole network has not, beside those that it has: a deeper one holds all
    of its names and more.
    """
    parts = {name.split(".")[0] for name in wanted}
    strangers = [name for name in found if isinstance(name, str) and name.split(".")[0] in parts and name not in whole
                 and not name.endswith(COUNTER)]  # fmt: skip
    if strangers:
        raise WeightsError(
            f"{where}: expected the tensors of {trunk.state} alone; that does not have {some(strangers)}"
        )


def _resized(value: object, taken: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape != taken.shape
