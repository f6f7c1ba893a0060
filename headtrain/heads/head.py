"""What every head is: raw features in, score, step scores and attention out, on the data's scale.

Letters: B batch, L locations (196), D channels (1024), H hidden size (1024), T steps (3; one output where T = 0).
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from amnet_common.errors import ConfigError, ShapeError
from headtrain.heads.noise import STILL, Noise
from headtrain.heads.provenance import Provenance
from headtrain.settings.configuration import HeadConfig
from headtrain.settings.own import kinds_of


class Output(NamedTuple):
    """Hold what a head says of a batch; the step scores of `predict` add up to the score."""

    score: Tensor  # (B,)
    steps: Tensor  # (B, T)
    attention: Tensor  # (B, T, L), each step's weights sum to 1


def put_together(steps: list[Tensor], attention: list[Tensor], output: str) -> Output:
    """Stack m_t (..., B) and a_t (..., B, L) of all steps and score y = sum_t m_t (11), or their mean or last one."""
    m = torch.stack(steps, dim=-1)  # (..., B, T)
    y = {"sum": m.sum(-1), "mean": m.mean(-1), "last": m[..., -1]}[output]  # (..., B)
    return Output(y, m, torch.stack(attention, dim=-2))  # (..., B, T, L)


@dataclass(frozen=True)
class NoSettings:
    """Hold nothing: of heads whose settings are the fields of HeadConfig."""


class Head(nn.Module):
    """Provide the base of every head. A child's `forward` gives outputs on the training scale: `steps` are the m_t of
    (10), `score` their sum, mean or last one. `predict` gives the data's scale.

    A child needs `__init__(config)` and `forward`, written for one head: training maps it over the parameters of many
    (torch.func.vmap). So it has no branches on values of tensors, and drops out by `noise` alone.
    """

    common: ClassVar[frozenset[str]] = frozenset({"input_mean", "input_std"})  # buffers that the heads of a bank share
    Settings: ClassVar[type] = NoSettings  # a frozen dataclass; `self.settings` is one of it
    target_mean: Tensor
    target_scale: Tensor
    input_mean: Tensor  # (D,), of heads that standardise
    input_std: Tensor

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        self.settings: Any = settings_in(config, self.Settings)
        self.provenance: Provenance | None = None  # of a head that was loaded
        self.register_buffer("target_mean", torch.zeros(()))
        self.register_buffer("target_scale", torch.ones(()))
        if config.has_own and config.standardise:
            self.register_buffer("input_mean", torch.zeros(config.channels))
            self.register_buffer("input_std", torch.ones(config.channels))

    def __repr__(self) -> str:
        """Tell what the head is and where it comes from; `print(*head.children())` still shows its layers."""
        attention = "attention" if self.config.attention else "no attention"
        told = own_text(self.config) if self.config.has_own else f"{self.config.steps} steps, {attention}"
        found, made = f"{type(self).__name__}: {told}", self.provenance
        if made is None:
            return f"<{found}>"
        epoch = "" if made.epoch is None else f", epoch {made.epoch}"
        origin = "imported" if made.split is None else f"split {made.split}{epoch}"
        return f"<{found}; preset {made.config.preset}, {origin}>"

    def forward(self, x: Tensor, noise: Noise = STILL) -> Output:
        """Compute the output for raw features x (B, L, D), float32; `noise.drop` is what it drops out by."""
        raise NotImplementedError

    @property
    def outputs(self) -> int:
        """Return how many step scores the head gives; a class of one's own that gives several overrides it."""
        return 1 if self.config.has_own else self.config.outputs

    @property
    def whole_batch(self) -> bool:
        """Tell whether a backward pass must see a batch at once, and not in chunks: the statistics of a BatchNorm are
        those of what it sees.
        """
        return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in self.modules())

    def standardise_by(self, mean: Tensor, std: Tensor) -> None:
        """Keep the mean and the standard deviation (D,) of the training images' channels, for `standardised`."""
        self.input_mean.copy_(mean)
        self.input_std.copy_(std)

    def standardised(self, x: Tensor) -> Tensor:
        """Standardise the channels of x (..., D) with the statistics of the training images, if so configured."""
        return (x - self.input_mean) / self.input_std if self.config.standardise else x

    def single(self, score: Tensor, attention: Tensor | None = None) -> Output:
        """Build the output of a head of one step: score (B,), attention (B, L), of which each row sums to 1; without it
        the head looks everywhere alike. Raises ShapeError for a score of another shape.
        """
        if score.dim() != 1:
            raise ShapeError(f"single: expected a score (B,), found {tuple(score.shape)}")
        if attention is None:
            attention = torch.full_like(score[:, None], 1 / self.config.locations).expand(-1, self.config.locations)
        return Output(score, score[:, None], attention[:, None])

    def on_data_scale(self, output: Output) -> Output:
        """Convert an output to the data's scale: y / scale + mean, and what each step adds to it, which is m_t / scale
        + mean / T where the score is the sum.
        """
        m, T = output.steps, output.steps.shape[1]
        if self.config.output == "last":  # as in the authors' code: the last step says all
            steps = nn.functional.pad((m[:, -1:] / self.target_scale + self.target_mean), (T - 1, 0))  # (B, T)
        else:
            parts = m / T if self.config.output == "mean" else m
            steps = parts / self.target_scale + self.target_mean / T  # (B, T)
        return Output(steps.sum(1), steps, output.attention)

    @property
    def pools_views(self) -> bool:
        """Tell whether the views of an image are averaged before they are scored, by `pool` and `of_pooled`."""
        return False

    def pool(self, x: Tensor) -> Tensor:
        """Compute what is averaged over the views of an image, (B, F), of x (B, L, D); of heads that pool views."""
        raise NotImplementedError

    def of_pooled(self, pooled: Tensor) -> Output:
        """Score images by what `pool` gave, averaged over their views, (n, F)."""
        raise NotImplementedError

    def predict(self, x: Tensor | np.ndarray) -> Output:
        """Score raw features x, (B, L, D) or (B, 14, 14, D), of any float dtype.

        Evaluation mode, whatever the module's own; float32, detached, on the CPU. Raises ShapeError for other shapes
        and for integers: codes of a uint8 collection are no features until they are multiplied by their scales.

        >>> from amnet import Collection
        >>> from amnet import load_head
        >>> head = load_head("runs/lamem-amnet-1")
        >>> out = head.predict(Collection("lamem.h5").read_dequantised([5, 17]))
        >>> out.score.shape, out.steps.shape, out.attention.shape
        (torch.Size([2]), torch.Size([2, 3]), torch.Size([2, 3, 196]))
        >>> bool((out.steps.sum(1) - out.score).abs().max() < 1e-6)
        True
        """
        with torch.inference_mode():
            return Output(*(part.cpu() for part in self.predict_there(x)))

    @torch.inference_mode()
    def predict_there(self, x: Tensor | np.ndarray) -> Output:
        """Score raw features as `predict`, but leave the output on the head's device: nobody waits for it."""
        device, (L, D) = self.target_mean.device, (self.config.locations, self.config.channels)
        if x.shape[-1] != D or math.prod(x.shape[1:-1]) != L:
            raise ShapeError(f"features: expected (B, {L}, {D}), channels last, found {tuple(x.shape)}")
        if not torch.as_tensor(x).is_floating_point():
            raise ShapeError(
                f"features: expected floats, found {x.dtype} codes; Collection.read_dequantised gives floats"
            )
        features = torch.as_tensor(x).to(device).float().reshape(len(x), L, D)
        was_training = self.training
        output = self.eval().on_data_scale(self(features, STILL))
        self.train(was_training)
        return output


def settings_in(config: HeadConfig, settings: type) -> Any:  # noqa: ANN401 - one of `settings`
    """Return the settings of a head's own that a configuration holds, the others at their defaults.

    Raises ConfigError for one that the class does not know, and for a value of another type.
    """
    kinds = kinds_of(settings, config.architecture)
    for name, value in config.own:
        if name not in kinds:
            raise ConfigError(
                f"--set {name}: expected a setting of {config.architecture} ({', '.join(kinds) or 'none'})"
            )
        if type(value) is not kinds[name] and not (kinds[name] is float and type(value) is int):
            raise ConfigError(f"--set {name}: expected a value of type {kinds[name].__name__}, found {value!r}")
    return settings(**dict(config.own))


def own_text(config: HeadConfig) -> str:
    """Write a head's own settings as people read them."""
    return ", ".join(f"{name}={value}" for name, value in config.own) or "no settings"
