"""Which files Pillow may open, whatever they are named."""

import ast
import io
import re
from pathlib import Path

import pytest
from PIL import Image

from amnet_common.errors import ImageError
from amnet_common.images import decode_rgb
from amnet_common.images.formats import FORMATS, FORMATS_TEXT

ROOT = Path(__file__).parents[3]
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(ran) (w) file closefile\nshowpage\n%%EOF\n"
DOS_EPS = b"\xc5\xd0\xd3\xc6" + (30).to_bytes(4, "little") + len(EPS).to_bytes(4, "little") + bytes(18) + EPS


def saved(kind: str) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (8, 8), (10, 20, 30)).save(data, kind)
    return data.getvalue()


@pytest.fixture
def opened(monkeypatch):
    """Formats whose reader Pillow has called."""
    Image.init()
    called = []

    def watched(name, factory):
        return lambda *args: called.append(name) or factory(*args)

    for name, (factory, accept) in list(Image.OPEN.items()):
        monkeypatch.setitem(Image.OPEN, name, (watched(name, factory), accept))
    return called


@pytest.mark.parametrize("data", [EPS, DOS_EPS], ids=["text", "DOS header"])
def test_postscript_is_named_and_never_opened(opened, data):
    with pytest.raises(ImageError, match=f"^EPS is not read; expected one of {re.escape(FORMATS_TEXT)}$"):
        decode_rgb(data)
    assert set(opened) <= set(FORMATS)


@pytest.mark.parametrize("kind", ["ICO", "PCX", "SGI", "ICNS", "EPS", "XBM"])
def test_format_that_is_not_listed_is_never_opened(opened, kind):
    data = io.BytesIO()
    Image.new("1" if kind == "XBM" else "RGB", (16, 16)).save(data, kind)
    with pytest.raises(ImageError, match=r"is not read; expected one of JPEG|^not an image that Pillow can identify$"):
        decode_rgb(data.getvalue())
    assert set(opened) <= set(FORMATS)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (saved("ICO"), "ICO"),
        (b"8BPS\0\x01" + bytes(30), "PSD"),
        (b"\xd7\xcd\xc6\x9a\0\0" + bytes(40), "WMF"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\xff\x0a\xfa\x1f", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"FUJIFILMCCD-RAW 0201", "camera raw (RAF)"),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "camera raw (CR3)"),
        (b"IIU\0\x18\0\0\0", "camera raw (RW2)"),
    ],
)
def test_other_formats_are_called_by_their_name(data, name):
    with pytest.raises(ImageError, match=f"^{re.escape(name)} is not read; expected one of JPEG"):
        decode_rgb(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "DIB", "JPEG2000", "PPM", "AVIF", "TGA"])
def test_every_listed_format_is_read(kind):
    assert decode_rgb(saved(kind)).size == (8, 8)


def test_reason_fits_in_a_row_of_the_collection():
    assert len(f"camera raw (CR3) is not read; expected one of {FORMATS_TEXT}".encode()) <= 200


def test_readme_names_the_formats():
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert FORMATS_TEXT in text


@pytest.mark.parametrize("package", ["amnet", "amnet_common", "extract", "headtrain"])
def test_no_file_is_opened_without_a_list_of_formats(package):
    calls = [
        (path, node)
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Image.open"
    ]
    assert [str(path) for path, node in calls if "formats" not in {word.arg for word in node.keywords}] == []
