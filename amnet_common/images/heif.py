"""HEIF (HEIC, HIF), as telephones and cameras write it: read by pillow-heif, which an extra of amnet installs."""

import io
from collections.abc import Mapping

from PIL import ImageFile

from amnet_common.errors import ImageError
from amnet_common.images.colour_codes import coded_profile

FILE_TYPE = b"ftyp"
BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1", b"heif"}
UNSAID, SRGB = 2, (1, 13)  # of ITU-T H.273: primaries and transfer
VIDEO = dict.fromkeys((UNSAID, 1, 6, 14, 15), SRGB[1])
MISSING = "HEIF (HEIC) is read by pillow-heif, which is not installed: pip install 'amnet[heif]'"


def is_heif(data: bytes) -> bool:
    """Tell whether a file says that it is HEIF."""
    return data[4:8] == FILE_TYPE and data[8:12] in BRANDS


def open_heif(data: bytes) -> ImageFile.ImageFile:
    """Open a HEIF file's bytes; nothing is decoded yet. Raises ImageError that names the extra if it is not there.

    pillow-heif turns pictures upright itself, and says so in their Exif orientation.
    """
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise ImageError(MISSING) from error
    picture: ImageFile.ImageFile = HeifImageFile(io.BytesIO(data))
    return picture


def heif_profile(info: Mapping[str | tuple[int, int], object]) -> bytes | None:
    """Return the colour profile of a HEIF file that is open, embedded or named by codes; None where that is sRGB.

    Video's curve (BT.709), which most encoders write whatever they mean, is taken for that of sRGB. Raises ImageError
    for HDR.
    """
    if "icc_profile" in info:
        profile = info["icc_profile"]
        return profile if isinstance(profile, bytes) else b""
    stated = info.get("nclx_profile")
    if not isinstance(stated, dict):
        return None
    primaries, transfer = (int(stated.get(key, UNSAID)) for key in ("color_primaries", "transfer_characteristics"))
    return coded_profile(SRGB[0] if primaries == UNSAID else primaries, VIDEO.get(transfer, transfer), "HEIF")
