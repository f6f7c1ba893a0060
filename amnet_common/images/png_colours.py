"""The colours that a PNG file describes without a profile: its chunks cICP, sRGB, gAMA and cHRM, to an ICC profile.

In this order of precedence, a profile (iCCP) standing behind cICP, as the PNG standard has it.
"""

from collections.abc import Mapping

from amnet_common.errors import ImageError
from amnet_common.images.colour_codes import BT709, coded_profile, profile_unless_srgb
from amnet_common.images.matrix_profile import SRGB_CURVE, Curve
from amnet_common.images.png_chunks import chunks

CICP, PIXELS = b"cICP", b"IDAT"
USUAL_GAMMA, GAMMA_SLACK = 1 / 2.2, 0.05  # what every program writes and means sRGB by
GAMMAS = (0.1, 10.0)  # others are slips


def png_profile(data: bytes, info: Mapping[str | tuple[int, int], object]) -> bytes | None:
    """Return the profile of a PNG file, embedded or described in chunks; None where that is sRGB, or nothing.

    `info`: what Pillow has read of it. A damaged one is empty. Raises ImageError for HDR, and for unknown codes.
    """
    if code := cicp(data):
        return _coded(code)
    if "icc_profile" in info:
        profile = info["icc_profile"]
        return profile if isinstance(profile, bytes) else b""
    if "srgb" in info:
        return None
    gamma, xy = info.get("gamma"), info.get("chromaticity")
    curve = _curve(gamma) if isinstance(gamma, float) else SRGB_CURVE
    return profile_unless_srgb(xy if isinstance(xy, tuple) else BT709, curve)


def cicp(data: bytes) -> bytes:
    """Return the four bytes of a PNG file's cICP chunk: primaries, transfer, matrix, full range. Empty: it has none."""
    for kind, start, end in chunks(data):
        if kind == CICP:
            return data[start + 8 : end - 4]
        if kind == PIXELS:
            break
    return b""


def _curve(gamma: float) -> Curve:
    if abs(gamma / USUAL_GAMMA - 1) <= GAMMA_SLACK or not GAMMAS[0] <= gamma <= GAMMAS[1]:
        return SRGB_CURVE
    return (1 / gamma,)


def _coded(code: bytes) -> bytes | None:
    """Of a chunk of four bytes; matrix coefficients and narrow range are for video."""
    if len(code) != 4:
        return None
    primaries, transfer, matrix, full_range = code
    if matrix or not full_range:
        raise ImageError(f"a PNG in colours of cICP {'-'.join(map(str, code))}, which are not known here")
    return coded_profile(primaries, transfer, "PNG")
