"""What a picture may cost is known from its header, and kept."""

import gc
import io
import re
import struct
import subprocess
import sys
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

from amnet_common.errors import ConfigError, ImageError
from amnet_common.images import Budget, Limits, decode_rgb, decoded
from amnet_common.images.bounds import (
    DRAFT_FROM,
    MOST_SCANS,
    allowed_bytes,
    decoding_bytes,
    draft_scale,
    ignored_pillow_warnings,
    pillow_limit_lifted,
    refuse_endless,
)
from amnet_common.images.decoding import over_white
from amnet_common.images.formats import open_image
from extract.crops import Box, on_image

MIB = 2**20


def png_of_size(width: int, height: int, depth: int = 8, colour: int = 0) -> bytes:
    """A PNG of zeros, packed as well as deflate can."""

    def chunk(kind: bytes, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))

    line = bytes(1 + width * {0: 1, 4: 2}[colour] * depth // 8)  # a filter byte and samples
    packer = zlib.compressobj(9)
    packed = b"".join([packer.compress(line) for _ in range(height)] + [packer.flush()])
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def webp_of_size(width: int, height: int) -> bytes:
    """A lossless WebP of one colour: 34 bytes, whatever its size."""
    data = io.BytesIO()
    Image.new("RGBA", (8, 8)).save(data, "WEBP", lossless=True)
    whole = bytearray(data.getvalue())
    assert whole[12:16] == b"VP8L"
    bits = int.from_bytes(whole[21:25], "little") & ~(2**28 - 1)
    whole[21:25] = (bits | (width - 1) | (height - 1) << 14).to_bytes(4, "little")
    return bytes(whole)


def progressive(scans: int, size: tuple[int, int] = (64, 64)) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    data = io.BytesIO()
    Image.effect_mandelbrot(size, (-2, -2, 2, 2), 20).save(data, "JPEG", progressive=True)
    whole = data.getvalue()
    there, last = whole.count(b"\xff\xda"), whole.rfind(b"\xff\xda")
    return whole[:-2] + whole[last:-2] * (scans - there) + b"\xff\xd9"


def test_picture_above_the_limit_is_refused_by_its_size():
    with pytest.raises(
        ImageError, match=r"^1 megapixels \(1000 x 1000\), more than 0\.5; --max-megapixels allows larger"
    ):
        decode_within(png_of_size(1000, 1000), Limits(0.5))


def decode_within(data: bytes, limits: Limits) -> Image.Image:
    with decoded(data, limits, Budget(limits.decoding_bytes)) as picture:
        return picture.image


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_limit_that_is_no_number_of_megapixels_is_refused(value):
    with pytest.raises(ConfigError, match=f"--max-megapixels: expected a number above 0, found {value:g}"):
        Limits(value)


def test_pillows_own_limit_stands_again_afterwards():
    before = Image.MAX_IMAGE_PIXELS
    with pillow_limit_lifted(), pillow_limit_lifted():
        assert Image.MAX_IMAGE_PIXELS is None
    assert before == Image.MAX_IMAGE_PIXELS
    with pytest.raises(ImageError, match=r"^400 megapixels"):
        decode_rgb(png_of_size(20_000, 20_000, 1)[:200])
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("kind", ["grey", "grey with transparency", "WebP"])
def test_small_file_of_a_large_picture_of_one_colour_is_refused(monkeypatch, kind):
    size = (2000, 2000)
    data = webp_of_size(*size) if kind == "WebP" else png_of_size(*size, 16, 0 if kind == "grey" else 4)
    monkeypatch.setattr("amnet_common.images.bounds.BOMB_FROM", 10**6)
    reason = rf"^a decompression bomb: {len(data)} bytes for 4 megapixels, which hold hardly more than one colour$"
    with pytest.raises(ImageError, match=reason):
        decode_rgb(data)
    monkeypatch.undo()
    assert decode_rgb(data).size == size


def test_large_drawing_in_black_and_white_is_no_bomb():
    """8,000 x 9,000 pixels of a bit each, in a file two hundred times smaller than they are."""
    data = io.BytesIO()
    Image.new("1", (8000, 9000)).save(data, "TIFF", compression="group4")
    with open_image(data.getvalue()) as image:
        assert allowed_bytes(image, Limits(), 8000 * 9000 // 8 // 200) < 10**9


@pytest.mark.parametrize("size", [(3000, 2000), (64, 64)])
def test_strips_of_a_tiff_are_jpegs_of_their_own(size):
    data = io.BytesIO()
    Image.new("RGB", size, (200, 100, 50)).save(data, "TIFF", compression="jpeg")
    assert decode_rgb(data.getvalue()).getpixel((1, 1)) == pytest.approx((200, 100, 50), abs=3)


def test_one_strip_of_a_tiff_may_not_be_endless():
    """Scans are counted over the strips that there are, not over those that a file claims by naming one again."""
    data = io.BytesIO()
    Image.new("RGB", (64, 64)).save(data, "TIFF", compression="jpeg")
    with open_image(data.getvalue()) as image:
        image.tag_v2[273] = image.tag_v2[273][:1] * 50
        with pytest.raises(ImageError, match=r"a JPEG of \d{3} scans over 64 x 64"):
            refuse_endless(image, data.getvalue() + b"\xff\xda" * 101)


def test_turned_picture_keeps_nothing_of_the_one_as_it_lay():
    data = io.BytesIO()
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (61, 37)).save(data, "JPEG", exif=exif)
    limits = Limits()
    with decoded(data.getvalue(), limits, Budget(limits.decoding_bytes)):
        gc.collect()
        sizes = {one.size for one in gc.get_objects() if issubclass(type(one), Image.Image)}
    assert ((37, 61) in sizes, (61, 37) in sizes) == (True, False)


def padded(data: bytes) -> bytes:
    """The file with two megabytes behind it, which its readers pass over: no bomb by its size any more."""
    return data + bytes(2 * MIB)


def test_picture_that_takes_gigabytes_is_refused_before_they_are_taken():
    reason = r"^a WEBP of 179 megapixels takes 3\.6 GB to decode, more than 2\.1; --max-megapixels 448 allows it$"
    with ignored_pillow_warnings(), pytest.raises(ImageError, match=reason):
        decode_rgb(padded(webp_of_size(13_377, 13_377)))


def test_error_names_a_limit_that_is_enough():
    data = padded(webp_of_size(13_377, 13_377))
    with ignored_pillow_warnings(), pytest.raises(ImageError) as refused:
        decode_rgb(data)
    enough = Limits(float(re.search(r"--max-megapixels (\d+)", str(refused.value))[1]))
    with ignored_pillow_warnings(), open_image(data) as image:
        assert decoding_bytes(image) <= enough.decoding_bytes


PEAK = """
import resource, sys
from amnet_common.images import decode_rgb
from amnet_common.images.bounds import decoding_bytes
from amnet_common.images.formats import open_image

data = sys.stdin.buffer.read()
with open_image(data) as image:
    estimate = decoding_bytes(image)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
decode_rgb(data)
print(estimate, 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of a process's memory as Linux counts it")
@pytest.mark.parametrize("kind", ["grey", "grey with transparency", "WebP"])
def test_estimate_holds_what_decoding_takes(kind):
    """In a process of its own, whose peak is that of the decoding."""
    size = (5000, 5000)
    data = webp_of_size(*size) if kind == "WebP" else png_of_size(*size, 16, 0 if kind == "grey" else 4)
    found = subprocess.run([sys.executable, "-c", PEAK], input=data, capture_output=True, check=True).stdout
    estimate, taken = map(int, found.split())
    assert taken < estimate + 200 * MIB  # of strips
    assert estimate <= 20 * 5000 * 5000


@pytest.mark.parametrize("scans", [MOST_SCANS + 1, 20_000])
def test_jpeg_of_endless_scans_is_refused(scans):
    with pytest.raises(
        ImageError, match=rf"^a JPEG of {scans} scans over 64 x 64 pixels; expected at most {MOST_SCANS}"
    ):
        decode_rgb(progressive(scans))


def test_sequential_jpeg_of_endless_scans_is_refused():
    """Not progressive, but a scan for each colour: libjpeg goes through all of them as well."""
    data = io.BytesIO()
    Image.new("RGB", (16, 16)).save(data, "JPEG")
    whole = data.getvalue()
    at = whole.index(b"\xff\xda")
    one = b"\xff\xda\0\x08\1\1\0\0\x3f\0\0"
    with pytest.raises(ImageError, match=r"^a JPEG of 5000 scans over 16 x 16 pixels"):
        decode_rgb(whole[:at] + one * 5000 + b"\xff\xd9")


def test_progressive_jpeg_of_many_scans_is_read():
    assert decode_rgb(progressive(MOST_SCANS)).size == (64, 64)


class Header:
    """What `draft_scale` asks of a picture."""

    def __init__(self, format_: str, width: int, height: int) -> None:
        self.format, self.width, self.height, self.size = format_, width, height, (width, height)


def test_only_jpegs_that_were_never_read_before_are_drafts():
    assert draft_scale(Header("JPEG", 13_377, 13_377)) == 1
    assert 13_377**2 <= DRAFT_FROM < 13_378**2
    assert draft_scale(Header("JPEG", 12_240, 16_320)) == 4  # a telephone of 200 megapixels: 3060 x 4080
    assert draft_scale(Header("JPEG", 20_000, 20_000)) == 8
    assert draft_scale(Header("JPEG", 100_000, 3_000)) == 1  # a panorama keeps its short side
    assert draft_scale(Header("PNG", 20_000, 20_000)) == 1


def test_draft_shows_the_picture_at_its_size(monkeypatch):
    image = Image.effect_mandelbrot((1200, 800), (-2, -2, 2, 2), 20).convert("RGB")
    data = io.BytesIO()
    image.save(data, "JPEG", quality=95, exif=exif_of(6))
    monkeypatch.setattr("amnet_common.images.bounds.DRAFT_FROM", 10**5)
    monkeypatch.setattr("amnet_common.images.bounds.DRAFT_SIDE", 200)
    limits = Limits()
    with decoded(data.getvalue(), limits, Budget(limits.decoding_bytes)) as picture:
        assert (picture.width, picture.height, picture.image.size) == (800, 1200, (200, 300))
        wanted = np.asarray(image.rotate(-90, expand=True).resize((200, 300), Image.Resampling.BOX), float)
        assert np.abs(np.asarray(picture.image, float) - wanted).mean() < 2


def exif_of(orientation: int) -> bytes:
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


@pytest.mark.parametrize(("height", "width"), [(1201, 1607), (1200, 1600), (4000, 3999)])
def test_boxes_of_a_draft_lie_within_it(height, width):
    image = Image.new("RGB", (-(-width // 8), -(-height // 8)))
    box = on_image(Box(0, 0, height, width, True), image, height, width)
    assert (box.top, box.left, box.height, box.width, box.flip) == (0, 0, image.height, image.width, True)
    image.resize((9, 9), box=(box.left, box.top, box.left + box.width, box.top + box.height))
    whole = Image.new("RGB", (width, height))
    assert on_image(Box(3, 5, 7.5, 9, False), whole, height, width) == Box(3, 5, 7.5, 9, False)


def test_transparency_of_a_large_picture_is_laid_over_white_in_strips(monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (31, 17, 4)).astype(np.uint8)
    palette = Image.fromarray(pixels[..., 0], "P")
    palette.info["transparency"] = 3
    for image in (Image.fromarray(pixels), palette, Image.fromarray(pixels[..., :2], "LA")):
        whole = np.asarray(over_white(image))
        with monkeypatch.context() as patch:
            patch.setattr("amnet_common.images.decoding.STRIP_PIXELS", 60)
            np.testing.assert_array_equal(np.asarray(over_white(image)), whole)


def test_large_pictures_wait_until_there_is_room_for_them():
    budget = Budget(100, counted_from=10)
    order: list[str] = []

    def second() -> None:
        with budget.held(60):
            order.append("second in")

    other = threading.Thread(target=second)
    with budget.held(60), budget.held(40), budget.held(9):
        other.start()
        other.join(0.05)
        order.append("first out")
    other.join()
    assert order == ["first out", "second in"]


def test_picture_larger_than_all_room_is_let_in_alone():
    with Budget(100, counted_from=10).held(1000):
        pass


def test_room_is_free_again_after_a_damaged_picture():
    budget = Budget(100, counted_from=0)
    data = progressive(8)[:-200]
    for _ in range(2):
        with pytest.raises(ImageError, match="truncated"), decoded(data, Limits(), budget):
            pass
    assert budget._taken == 0


def test_telephone_picture_of_the_case_is_read(shared):
    path = shared / "cases" / "extraction" / "08_200_megapixels" / "samsung_200mp.jpg"
    if not path.is_file():
        pytest.skip(f"no case files: expected {path}")
    limits = Limits()
    with decoded(path.read_bytes(), limits, Budget(limits.decoding_bytes)) as picture:
        assert {picture.width, picture.height} == {12_240, 16_320}
        assert min(picture.image.size) == 3060
