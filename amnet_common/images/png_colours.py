"""The colours that a PNG file describes without a profile: its chunks cICP, sRGB, gAMA and cHRM, to an ICC profile.

In this order of precedence, a profile (iCCP) standing behind cICP, as the PNG standard has it.
"""

import struct
from collections.abc import Mapping

import numpy as np

from amnet_common.errors import ImageError
from amnet_common.images.matrix_profile import BT709_CURVE, SRGB_CURVE, Curve, matrix_profile
from amnet_common.images.png_chunks import chunks

D65 = (0.3127, 0.3290)
BT709 = (*D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)  # white, red, green, blue; sRGB has the same
PRIMARIES = {  # of ITU-T H.273
    1: BT709,
    5: (*D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (*D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),  # BT.2020
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),  # DCI-P3
    12: (*D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),  # Display P3
}
CURVES: Mapping[int, Curve] = {
    **dict.fromkeys((1, 6, 14, 15), BT709_CURVE),
    4: (2.2,),
    5: (2.8,),
    8: (1.0,),
    13: SRGB_CURVE,
}
HDR = {16: "PQ", 18: "HLG"}
CICP, PIXELS = b"cICP", b"IDAT"
USUAL_GAMMA, GAMMA_SLACK = 1 / 2.2, 0.05  # what every program writes and means sRGB by
XY_SLACK = 0.005
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
    return _unless_srgb(xy if isinstance(xy, tuple) else BT709, curve)


def cicp(data: bytes) -> bytes:
    """Return the four bytes of a PNG file's cICP chunk: primaries, transfer, matrix, full range. Empty: it has none."""
    for kind, start, end in chunks(data):
        if kind == CICP:
            return data[start + 8 : end - 4]
        if kind == PIXELS:
            break
    return b""


def _coded(code: bytes) -> bytes | None:
    if len(code) != 4:
        return None
    primaries, transfer, matrix, full_range = code
    if transfer in HDR:
        raise ImageError(f"a PNG in {HDR[transfer]} (HDR) colours; expected one that a usual screen can show")
    if matrix or not full_range or primaries not in PRIMARIES or transfer not in CURVES:
        raise ImageError(f"a PNG in colours of cICP {'-'.join(map(str, code))}, which are not known here")
    return _unless_srgb(PRIMARIES[primaries], CURVES[transfer])


def _curve(gamma: float) -> Curve:
    if abs(gamma / USUAL_GAMMA - 1) <= GAMMA_SLACK or not GAMMAS[0] <= gamma <= GAMMAS[1]:
        return SRGB_CURVE
    return (1 / gamma,)


def _unless_srgb(xy: tuple[float, ...], curve: Curve) -> bytes | None:
    if curve == SRGB_CURVE and np.allclose(xy, BT709, rtol=0, atol=XY_SLACK):
        return None
    try:
        return matrix_profile(xy, curve)
    except (ArithmeticError, np.linalg.LinAlgError, struct.error):
        return b""  # a damaged description
