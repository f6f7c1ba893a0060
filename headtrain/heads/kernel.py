"""Kernel ridge regression as a head: it scores, predicts and stands in ensembles as any other, and has no attention.

f(x) = sum_j a_j exp(-|z(x) - z_j| / w) + b, z the standardised mean, deviation and maximum of each channel over the
locations, averaged over the views. It is fitted in closed form (`headtrain.evaluation.kernel_ridge`), not trained.

Letters: B batch, L locations, D channels, F = 3 D statistics, m landmarks (the configuration's `hidden`), V views.
"""

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from headtrain.heads.head import Head, Output
from headtrain.heads.noise import STILL, Noise
from headtrain.settings.configuration import KERNEL, Config, HeadConfig, TrainingConfig

STATISTICS = 3  # of each channel: mean, deviation, maximum


def kernel_config(locations: int, channels: int, landmarks: int) -> Config:
    """Describe a kernel head by the fields that every head has."""
    head = HeadConfig(architecture=KERNEL, locations=locations, channels=channels, hidden=landmarks, steps=0,
                      attention=False)  # fmt: skip
    return Config("kernel", head, TrainingConfig())


class KernelHead(Head):
    """Hold the landmarks and their coefficients."""

    pools_views: ClassVar[bool] = True
    mean: Tensor
    std: Tensor
    landmarks: Tensor
    coefficients: Tensor
    width: Tensor

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        F, m = STATISTICS * config.channels, config.hidden
        self.register_buffer("mean", torch.zeros(F))
        self.register_buffer("std", torch.ones(F))
        self.register_buffer("landmarks", torch.zeros(m, F))
        self.register_buffer("coefficients", torch.zeros(m))
        self.register_buffer("width", torch.ones(()))

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
        """Compute mean, deviation and maximum of x (B, L, D) over the locations: (B, F)."""
        return torch.cat([x.mean(1), x.std(1, correction=0), x.amax(1)], dim=1)

    def of_pooled(self, pooled: Tensor) -> Output:
        """Score images by their statistics (n, F), means over their views."""
        z = (pooled - self.mean) / self.std  # (n, F)
        distance = torch.cdist(z, self.landmarks, compute_mode="donot_use_mm_for_euclid_dist")  # (n, m)
        y = torch.exp(-distance / self.width) @ self.coefficients  # (n,)
        L = self.config.locations
        return Output(y, y[:, None], y.new_full((len(y), 1, L), 1 / L))

    def forward(self, x: Tensor, noise: Noise = STILL) -> Output:  # noqa: ARG002 - it drops nothing
        """Score views x (B, L, D), each for itself."""
        return self.of_pooled(self.pool(x))
