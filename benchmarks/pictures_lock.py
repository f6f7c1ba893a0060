"""How many views a second one process reads, decodes and cuts, and where Python's lock ends that.

    python benchmarks/pictures_lock.py --photographs LNSIM/images [--images 200]

The first table: one thread, two threads, two processes, in turn, the fastest of several rounds. The second pretends
that there are cores for all threads: Pillow's decoding and resizing, which do without the lock, are replaced by
sleeping as long as they take here; all else is done. Where more threads add nothing is the lock's bound.
"""

import io
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

import click
from PIL import Image, ImageFile

from amnet_common.datasets import load_dataset
from amnet_common.images import read_source
from amnet_common.images.budget import Budget
from amnet_common.images.decoding import Picture, decoded
from extract.crops import of_version, view_plan
from extract.pipeline import Cutter, views_of

PLAN, ROUNDS, THREADS = of_version(view_plan("standard", 10)), 5, (1, 2, 4, 8, 16, 32, 64)


@click.command()
@click.option("--photographs", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--images", default=200, show_default=True)
def main(photographs: Path, images: int) -> None:
    """Measure and print."""
    pool = get_context("spawn").Pool(2)
    ways: dict[str, Callable[[str], float]] = {
        "1 thread": lambda what: cut_here(what, photographs, range(images), 1),
        "2 threads": lambda what: cut_here(what, photographs, range(images), 2),
        "2 processes": lambda what: max(
            pool.starmap(cut_here, [(what, photographs, range(part, images, 2), 1) for part in range(2)], chunksize=1)
        ),
    }
    print("| views/s | " + " | ".join(ways) + " |\n" + "|---" * 4 + "|")
    for what in ("cut alone", "read, decode, cut"):
        rounds = [{name: run(what) for name, run in ways.items()} for _ in range(1 + ROUNDS)][1:]
        fastest = {name: min(one[name] for one in rounds) for name in ways}
        print(
            f"| {what} | " + " | ".join(f"{images * PLAN.views / s:.0f}" for s in fastest.values()) + " |", flush=True
        )
    pool.terminate()
    print("\n| cores pretended, threads | " + " | ".join(map(str, THREADS)) + " |\n" + "|---" * 8 + "|")
    for what in ("cut alone", "read, decode, cut"):
        with asleep(photographs, images):
            rounds = [[pretended(what, photographs, images, n) for n in THREADS] for _ in range(ROUNDS)]
        by_threads = [*zip(*rounds, strict=True)]
        print(f"| {what}, views/s | " + " | ".join(f"{max(rate for rate, _ in one):.0f}" for one in by_threads) + " |")
        cells = " | ".join(f"{1e6 * min(spent for _, spent in one):.0f}" for one in by_threads)
        print(f"| of a core, us a view | {cells} |", flush=True)


def cut_here(what: str, photographs: Path, rows: Sequence[int], threads: int) -> float:
    """Seconds that so many threads take for all views of some photographs."""
    cutter = cutter_of(photographs)
    work: Callable[[int], object] = cutter
    if what == "cut alone":
        pictures = {row: picture(photographs, row) for row in rows}

        def work(row: int) -> object:
            return views_of(PLAN, 0, cutter.dataset.ids[row], pictures[row])

    with ThreadPoolExecutor(threads) as pool:
        begun = time.perf_counter()
        for _ in pool.map(work, rows):
            pass
        return time.perf_counter() - begun


@cache
def cutter_of(photographs: Path) -> Cutter:
    """What an extraction reads, decodes and cuts by."""
    return Cutter(load_dataset("folder", photographs), PLAN, 0)


@cache
def picture(photographs: Path, row: int) -> Picture:
    """A decoded photograph."""
    cutter = cutter_of(photographs)
    data = read_source(photographs / cutter.dataset.ids[row]).data
    with decoded(data, cutter.limits, Budget(cutter.limits.decoding_bytes)) as found:
        return found


def pretended(what: str, photographs: Path, images: int, threads: int) -> tuple[float, float]:
    """Views a second, and seconds of a core that a view took."""
    rows = [row % images for row in range(images * min(4, threads))]
    spent = time.process_time()
    seconds = cut_here(what, photographs, rows, threads)
    views = len(rows) * PLAN.views
    return views / seconds, (time.process_time() - spent) / views


@contextmanager
def asleep(photographs: Path, images: int) -> Iterator[None]:
    """Within the context decoding and resizing sleep, as long as they take; Python's part of both is done."""
    load, resize = ImageFile.ImageFile.load, Image.Image.resize
    decoding, resizing = seconds_of(photographs, images)
    pixels = Image.new("RGB", (PLAN.size, PLAN.size)).im  # of every picture that is not decoded
    view, tiny, small = Image.new("RGB", (PLAN.size, PLAN.size)), Image.new("RGB", (1, 1)), io.BytesIO()
    tiny.save(small, "JPEG")

    def sleeping_load(image: ImageFile.ImageFile) -> object:
        if image._im is not None and image.tile == []:
            return None
        if image.size == (1, 1):
            return load(image)
        time.sleep(decoding)
        with Image.open(io.BytesIO(small.getvalue())) as one:
            load(one)
        image._im, image.tile = pixels, []
        return None

    def sleeping_resize(_: Image.Image, size: tuple[int, int], resample: int, **__: object) -> Image.Image:
        time.sleep(resizing)
        resize(tiny, (1, 1), resample, box=(0, 0, 1, 1))
        return view if size == view.size else Image.new("RGB", size)

    with patch.object(ImageFile.ImageFile, "load", sleeping_load), patch.object(Image.Image, "resize", sleeping_resize):
        yield


def seconds_of(photographs: Path, images: int) -> tuple[float, float]:
    """Median seconds of decoding a photograph and of resizing a view, on one thread."""
    spent: dict[str, list[float]] = {"load": [], "resize": []}

    def timed(kind: type, name: str) -> Callable[..., object]:
        usual = getattr(kind, name)

        def call(*given: object, **named: object) -> object:
            begun = time.perf_counter()
            found = usual(*given, **named)
            spent[name].append(time.perf_counter() - begun)
            return found

        return call

    with (
        patch.object(ImageFile.ImageFile, "load", timed(ImageFile.ImageFile, "load")),
        patch.object(Image.Image, "resize", timed(Image.Image, "resize")),
    ):
        cut_here("read, decode, cut", photographs, range(images), 1)
    decoding = [one for one in spent["load"] if one > 1e-4]  # else it was loaded already
    return statistics.median(decoding), statistics.median(spent["resize"])


if __name__ == "__main__":
    main()
