"""The paper's head as one writes it first: a DataLoader over h5py, the equations in PyTorch without care, float32.

    python benchmarks/plain_head.py --features F.h5 [--epochs E] [--images N]

Prints a JSON line an epoch: its seconds, and rho on the validation list. benchmarks/head_epoch.py runs it beside ours.
"""

import json
import time

import click
import h5py
import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

D = H = 1024
L, T, LAMBDA = 196, 3, 1e-4
Item = tuple[np.ndarray, float]


class Views(Dataset[Item]):
    """A random augmented view of each image of a list, or view 0."""

    def __init__(self, path: str, name: str, images: int | None, evaluate: bool) -> None:
        with h5py.File(path) as file:
            self.rows = file[f"splits/{name}"][:images]
            self.scores = file[f"split_scores/{name}"][:images]
        self.path, self.evaluate = path, evaluate
        self.file: h5py.File | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Item:
        self.file = self.file or h5py.File(self.path)
        features = self.file["features"]
        view = 0 if self.evaluate else int(torch.randint(1, features.shape[1], ()))
        return features[self.rows[i], view].astype(np.float32).reshape(L, D), float(self.scores[i])


class PlainHead(nn.Module):
    """Equations (3) to (12), K x where (8) has it; starts as ours does, from M = 0 and a last layer of zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.K, self.U = nn.Linear(D, D, bias=False), nn.Linear(H, D, bias=False)
        self.b, self.M = nn.Parameter(torch.zeros(D)), nn.Parameter(torch.zeros(L, D))
        self.init_h, self.init_c, self.lstm = nn.Linear(D, H), nn.Linear(D, H), nn.LSTMCell(D, H)
        self.f = nn.Sequential(nn.Linear(H, 512), nn.ReLU(), nn.Linear(512, 1))
        nn.init.zeros_(self.f[2].weight)
        nn.init.zeros_(self.f[2].bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h, c = torch.tanh(self.init_h(x.mean(1))), torch.tanh(self.init_c(x.mean(1)))
        y, looked = 0.0, 0.0
        for _ in range(T):
            e = (self.M * torch.tanh(self.U(h).unsqueeze(1) + self.K(x) + self.b)).sum(-1)  # (B, L)
            a = torch.softmax(e, dim=1)
            h, c = self.lstm((a.unsqueeze(-1) * x).sum(1), (h, c))
            y, looked = y + self.f(h).squeeze(-1), looked + a
        return y, looked


@click.command()
@click.option("--features", required=True)
@click.option("--epochs", default=1)
@click.option("--images", type=int, help="Only the first so many training images.")
def main(features: str, epochs: int, images: int | None) -> None:
    """Train on split 1."""
    torch.manual_seed(0)
    train = Views(features, "train_1", images, evaluate=False)
    mean = float(np.mean(train.scores))
    scale = 1 / float(np.abs(train.scores - mean).max())
    head = PlainHead()
    adam = torch.optim.Adam(head.parameters(), lr=1e-3, weight_decay=1e-6)
    loader = DataLoader(train, batch_size=256, shuffle=True)
    val = DataLoader(Views(features, "val_1", None, evaluate=True), batch_size=64)
    for _ in range(epochs):
        begun = time.monotonic()
        for x, score in loader:
            y, looked = head(x)
            error = ((y - (score.float() - mean) * scale) ** 2).mean()
            loss = error + LAMBDA * ((1 - looked) ** 2).sum(1).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
        with torch.no_grad():
            said, wanted = zip(*((head(x)[0], score) for x, score in val), strict=True)
        rho = spearmanr(torch.cat(said).numpy(), torch.cat(wanted).numpy()).statistic
        print(json.dumps({"seconds": time.monotonic() - begun, "val_rho": float(rho)}), flush=True)


if __name__ == "__main__":
    main()
