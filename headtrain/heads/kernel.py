"""Kernel and linear ridge regression as a head: it scores, predicts and stands in ensembles as any other, and has no
attention.

f(x) = sum_j a_j k(z(x), z_j) + b, k = exp(-d / w), exp(-d^2 / (2 w^2)) or the product, d the distance; z the mean of
each channel over the locations, or mean, deviation and maximum, averaged over the views and standardised. It is fitted
in closed form (`headtrain.evaluation.kernel_ridge`), not trained.

Letters: B batch, L locations, D channels, F = D or 3 D statistics, m landmarks (the configuration's `hidden`), V views.
"""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from headtrain.heads.head import Head, Output
from headtrain.heads.noise import STILL, Noise
from headtrain.settings.configuration import KERNEL, Config, HeadConfig, TrainingConfig
from headtrain.settings.own import as_pairs

MOMENTS = 3  # of each channel: mean, deviation, maximum


@dataclass(frozen=True)
class Settings:
    """Hold what a kernel head is of."""

    kernel: str = "exponential"  # or gaussian, linear
    statistics: str = "moments"  # or mean
    views: str = "all"  # of an image that are averaged, or centre


def kernel_config(locations: int, channels: int, landmarks: int, settings: Settings = Settings()) -> Config:
    """Describe a kernel head by the fields that every head has."""
    own = as_pairs({} if settings == Settings() else asdict(settings))  # as files of before say it
    head = HeadConfig(architecture=KERNEL, locations=locations, channels=channels, hidden=landmarks, steps=0,
                      attention=False, own=own)  # fmt: skip
    return Config("kernel", head, TrainingConfig())


def averages_views(config: HeadConfig) -> bool:
    """Tell whether a configuration is of a kernel head of all views."""
    return config.architecture == KERNEL and dict(config.own).get("views", Settings.views) == "all"


class KernelHead(Head):
    """Hold the landmarks and their coefficients; of a linear kernel one landmark, its weights."""

    Settings = Settings
    mean: Tensor
    std: Tensor
    landmarks: Tensor
    coefficients: Tensor
    width: Tensor

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        F, m = config.channels * (MOMENTS if self.settings.statistics == "moments" else 1), config.hidden
        self.register_buffer("mean", torch.zeros(F))
        self.register_buffer("std", torch.ones(F))
        self.register_buffer("landmarks", torch.zeros(m, F))
        self.register_buffer("coefficients", torch.zeros(m))
        self.register_buffer("width", torch.ones(()))

    @property
    def pools_views(self) -> bool:
        """Tell whether the views of an image are averaged before they are scored."""
        return averages_views(self.config)

    @classmethod
    def of_fit(
        cls, config: HeadConfig, statistics: tuple[np.ndarray, np.ndarray], landmarks: np.ndarray,
        coefficients: np.ndarray, width: float, intercept: float,
    ) -> "KernelHead":  # fmt: skip
        """Build a head of a fit: `statistics` mean and deviation (F,) of the training images, standardised `landmarks`
        (m, F), their `coefficients` (m,), the kernel's `width`, and the `intercept` b.
        """
        head, (mean, std) = cls(config), statistics
        found = {"mean": mean, "std": std, "landmarks": landmarks, "coefficients": coefficients, "width": width,
                 "target_mean": intercept, "target_scale": 1.0}  # fmt: skip
        head.load_state_dict({name: torch.as_tensor(value, dtype=torch.float32) for name, value in found.items()})
        return head.eval()

    def pool(self, x: Tensor) -> Tensor:
        """Compute the statistics of x (B, L, D) over the locations: (B, F)."""
        if self.settings.statistics == "mean":
            return x.mean(1)
        return torch.cat([x.mean(1), x.std(1, correction=0), x.amax(1)], dim=1)

    def of_pooled(self, pooled: Tensor) -> Output:
        """Score images by their statistics (n, F), means over their views."""
        z = (pooled - self.mean) / self.std  # (n, F)
        y = self.kernel(z) @ self.coefficients  # (n,)
        L = self.config.locations
        return Output(y, y[:, None], y.new_full((len(y), 1, L), 1 / L))

    def kernel(self, z: Tensor) -> Tensor:
        """Compute the kernel of z (n, F) and the landmarks: (n, m)."""
        if self.settings.kernel == "linear":
            return z @ self.landmarks.mT
        distance = torch.cdist(z, self.landmarks, compute_mode="donot_use_mm_for_euclid_dist")  # (n, m)
        if self.settings.kernel == "gaussian":
            return torch.exp(distance**2 / (-2 * self.width**2))
        return torch.exp(-distance / self.width)

    def forward(self, x: Tensor, noise: Noise = STILL) -> Output:  # noqa: ARG002 - it drops nothing
        """Score views x (B, L, D), each for itself."""
        return self.of_pooled(self.pool(x))
