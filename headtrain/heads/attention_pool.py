"""A head with the pooling of SigLIP: one learned query attends to all locations, by several attention heads.

Zhai et al., "Sigmoid Loss for Language Image Pre-Training" (ICCV 2023), and their code (big_vision, MAPHead):
multi-head attention (Vaswani et al. 2017) of a query that is a parameter, then a residual network after a layer norm.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from amnet_common.errors import ConfigError
from headtrain.heads.head import Head, Output
from headtrain.heads.noise import STILL, Noise
from headtrain.settings.configuration import HeadConfig


@dataclass(frozen=True)
class Settings:
    """Hold the settings of an attention-pool head."""

    width: int = 256  # of keys, values and what is pooled
    heads: int = 4  # attention heads, each of width / heads
    expansion: int = 2  # the residual network's hidden layer is so many times as wide
    feature_dropout: float = 0.5  # of whole channels of an image
    dropout: float = 0.5  # inside the residual network


class AttentionPool(Head):
    """Compute z = sum_l softmax_l(q k_l / sqrt(d)) v_l of each attention head, z + MLP(norm(z)), and a score of it."""

    Settings = Settings

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        D, W, wide = config.channels, self.settings.width, self.settings.width * self.settings.expansion
        if W % self.settings.heads:
            raise ConfigError(f"--set width: expected a multiple of heads ({self.settings.heads}), found {W}")
        self.query = nn.Parameter(torch.randn(W) / math.sqrt(W))
        self.key, self.value = nn.Linear(D, W, bias=False), nn.Linear(D, W)
        self.norm, self.wide, self.narrow = nn.LayerNorm(W), nn.Linear(W, wide), nn.Linear(wide, W)
        self.out = nn.Linear(W, 1)
        for parameter in self.out.parameters():  # a new head says the mean score
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, noise: Noise = STILL) -> Output:
        settings = self.settings
        x = noise.drop(self.standardised(x), settings.feature_dropout, "channel")  # (B, L, D)
        shape = (*x.shape[:2], settings.heads, settings.width // settings.heads)
        k, v = self.key(x).view(shape), self.value(x).view(shape)  # (B, L, heads, d)
        q = self.query.view(shape[2:])  # (heads, d)
        a = torch.softmax((k * q).sum(-1) / math.sqrt(shape[3]), dim=1)  # (B, L, heads)
        z = (a.unsqueeze(-1) * v).sum(1).flatten(1)  # (B, width)
        hidden = noise.drop(gelu(self.wide(self.norm(z))), settings.dropout)  # (B, wide)
        with torch.autocast(x.device.type, enabled=False):  # a score keeps all its digits, whatever products have
            z = (z + self.narrow(hidden.to(self.narrow.weight.dtype))).to(self.out.weight.dtype)
            return self.single(self.out(z).squeeze(1), a.float().mean(2))
