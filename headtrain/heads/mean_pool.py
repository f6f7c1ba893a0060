"""A head without attention: one hidden layer on the mean of the features over the locations."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from headtrain.heads.head import Head, Output
from headtrain.heads.noise import STILL, Noise
from headtrain.settings.configuration import HeadConfig


@dataclass(frozen=True)
class Settings:
    """Hold the settings of a mean-pool head."""

    width: int = 512  # of the hidden layer
    dropout: float = 0.5  # of the pooled channels, and of the hidden layer


class MeanPool(Head):
    """Compute y = w relu(W drop(mean_L x) + b) + c. A new head says the mean score."""

    Settings = Settings

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.hidden = nn.Linear(config.channels, self.settings.width)
        self.out = nn.Linear(self.settings.width, 1)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, noise: Noise = STILL) -> Output:
        share = self.settings.dropout
        pooled = noise.drop(self.standardised(x).mean(1), share)  # (B, D)
        hidden = noise.drop(torch.relu(self.hidden(pooled)), share)  # (B, width)
        with torch.autocast(x.device.type, enabled=False):  # a score keeps all its digits, whatever products have
            return self.single(self.out(hidden.to(self.out.weight.dtype)).squeeze(1))
