"""Colours that a file names by code points (ITU-T H.273), as PNG and HEIF do, to an ICC profile (pure)."""

import struct
from collections.abc import Mapping

import numpy as np

from amnet_common.errors import ImageError
from amnet_common.images.matrix_profile import BT709_CURVE, SRGB_CURVE, Curve, matrix_profile

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
XY_SLACK = 0.005


def coded_profile(primaries: int, transfer: int, kind: str) -> bytes | None:
    """Return the profile of colours with these codes, None where that is sRGB.

    Raises ImageError for colours that 8 bits of sRGB cannot show (HDR), and for unknown codes; `kind`: of the file.
    """
    if transfer in HDR:
        raise ImageError(f"a {kind} in {HDR[transfer]} (HDR) colours; expected one that a usual screen can show")
    if primaries not in PRIMARIES or transfer not in CURVES:
        raise ImageError(f"a {kind} in colours of the codes {primaries} and {transfer}, which are not known here")
    return profile_unless_srgb(PRIMARIES[primaries], CURVES[transfer])


def profile_unless_srgb(xy: tuple[float, ...], curve: Curve) -> bytes | None:
    """Return the profile of chromaticities and a curve: None where that is sRGB, empty where it is damaged."""
    if curve == SRGB_CURVE and np.allclose(xy, BT709, rtol=0, atol=XY_SLACK):
        return None
    try:
        return matrix_profile(xy, curve)
    except (ArithmeticError, np.linalg.LinAlgError, struct.error):
        return b""  # a damaged description
