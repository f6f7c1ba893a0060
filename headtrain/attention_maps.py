"""The paper's Figure 5: where a head looked at each step, drawn over the view it saw (section 4.4)."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from amnet_common.collection import Collection
from headtrain.head import Head
from headtrain.pictures import new_figure

VIEW_PIXELS = 224


def cut_view(path: Path, box: np.ndarray) -> Image.Image:
    """The view of an image file that `box` (5,) of /views describes: top, left, height, width, flip."""
    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file).convert("RGB")
    top, left, height, width, flip = box.tolist()
    size = (VIEW_PIXELS, VIEW_PIXELS)
    view = image.resize(size, Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))
    return ImageOps.mirror(view) if flip else view


def heat_map(attention: np.ndarray) -> np.ndarray:
    """(224, 224) uint8: softmax weights (196,) scaled to [0, 255] and resized smoothly, as in section 4.4."""
    grid = attention.reshape(14, 14)
    spread = max(float(grid.max() - grid.min()), 1e-12)
    scaled = Image.fromarray(np.uint8(np.rint(255 * (grid - grid.min()) / spread)))
    return np.asarray(scaled.resize((VIEW_PIXELS, VIEW_PIXELS), Image.Resampling.BICUBIC))


def draw_attention(collection: Collection, head: Head, rows: list[int], image_root: Path, out: Path) -> None:
    """A picture: one line an image, with its evaluation view and the heat map of each step over it.

    Raises ExtraError without matplotlib.
    """
    output = head.predict(collection.read_dequantised(rows, 0, check=True))
    steps = head.config.steps
    figure = new_figure(2.2 * (steps + 1), 2.5 * len(rows))
    axes = figure.subplots(len(rows), steps + 1, squeeze=False)
    for line, row, score, m, attention in zip(axes, rows, *(part.numpy() for part in output), strict=True):
        view = cut_view(image_root / collection.ids[row], collection.boxes[row, 0])
        line[0].imshow(view)
        line[0].set_title(f"score {score:.2f}, true {collection.labels[row]:.2f}", fontsize=9)
        for t in range(steps):
            line[t + 1].imshow(view.convert("L"), cmap="gray")
            line[t + 1].imshow(heat_map(attention[t]), cmap="inferno", alpha=0.55)
            line[t + 1].set_title(
                f"step {t + 1}: {m[t]:+.2f}, peak {attention[t].max() * len(attention[t]):.1f}x", fontsize=9
            )
        for axis in line:
            axis.axis("off")
    figure.savefig(out, dpi=100)
