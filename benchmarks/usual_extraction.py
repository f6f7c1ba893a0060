"""Extraction as people write it today: PIL and torchvision's transforms in a DataLoader, a float32 ResNet50 with a hook
on layer3, h5py writes.

    python benchmarks/usual_extraction.py --images FOLDER --out F.h5 [--augs A] [--limit N] [--device cpu]

Prints a JSON line: views/s after the first batch.
"""

import json
import time
from pathlib import Path

import click
import h5py
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.models import resnet50
from torchvision.transforms import v2

BATCH, WORKERS = 32, 2
END = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
EVALUATION = v2.Compose([v2.Resize(256), v2.CenterCrop(224), *END])
AUGMENTED = v2.Compose([v2.RandomResizedCrop(224), v2.RandomHorizontalFlip(), *END])


class Views(Dataset[Tensor]):
    """Every view of every image, one at a time."""

    def __init__(self, paths: list[Path], views: int) -> None:
        self.paths, self.views = paths, views

    def __len__(self) -> int:
        return len(self.paths) * self.views

    def __getitem__(self, i: int) -> Tensor:
        image = Image.open(self.paths[i // self.views]).convert("RGB")
        return (AUGMENTED if i % self.views else EVALUATION)(image)


@click.command()
@click.option("--images", "folder", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--out", required=True)
@click.option("--augs", default=10)
@click.option("--limit", type=int)
@click.option("--device", default="cpu")
def main(folder: Path, out: str, augs: int, limit: int | None, device: str) -> None:
    """Extract all of them."""
    paths, views = sorted(folder.iterdir())[:limit], 1 + augs
    model, kept = resnet50().eval().to(device), []
    model.layer3.register_forward_hook(lambda _module, _inputs, x: kept.append(x))
    loader = DataLoader(Views(paths, views), BATCH, num_workers=WORKERS)
    with h5py.File(out, "w") as file, torch.no_grad():
        shape = (len(paths), views, 14, 14, 1024)
        features = file.create_dataset("features", shape, "f2", chunks=(1, 1, 14, 14, 1024))
        done, begun = 0, 0.0
        for batch in loader:
            model(batch.to(device))
            for x in kept.pop().permute(0, 2, 3, 1).cpu().numpy():
                features[done // views, done % views] = x
                done += 1
            begun = begun or time.perf_counter()
    print(json.dumps({"views_per_second": (done - BATCH) / (time.perf_counter() - begun)}))


if __name__ == "__main__":
    main()
