"""An ICC profile of three primaries, a white and one tone curve, as PNG's chunks describe colours without one (pure).

Layout: ICC.1:2010, sections 7.2 (header), 7.3 (tag table), 10.15 (parametric curve) and 10.27 (XYZ).
"""

import struct
from collections.abc import Sequence

import numpy as np

D50 = np.array([0.9642, 1.0, 0.8249])  # white of the profile connection space
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
Curve = tuple[float, ...]  # g: y = x^g. g, a, b, c, d: y = (a x + b)^g from d on, c x below
SRGB_CURVE: Curve = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
BT709_CURVE: Curve = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)


def matrix_profile(xy: Sequence[float], curve: Curve) -> bytes:
    """Return an ICC profile of an RGB space. `xy`: chromaticities of white, red, green and blue, eight numbers.

    Raises ZeroDivisionError or numpy.linalg.LinAlgError for primaries that span no space, struct.error for absurd ones.
    """
    red, green, blue = _colorants(np.reshape(xy, (4, 2))).T
    tone = b"para" + struct.pack(">IHH", 0, 3 if len(curve) > 1 else 0, 0) + _fixed(curve)
    tags = {b"rXYZ": _xyz(red), b"gXYZ": _xyz(green), b"bXYZ": _xyz(blue), b"wtpt": _xyz(D50)}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), tone)
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, tag in tags.items():
        table += name + struct.pack(">II", at + len(body), len(tag))
        body += tag
    header = struct.pack(">I4xI4s4s4s12x4s28x", at + len(body), 0x04200000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return (header + _fixed(D50)).ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _colorants(xy: np.ndarray) -> np.ndarray:
    """(3, 3): XYZ of red, green and blue in its columns, which add up to D50, adapted from the white by Bradford."""
    white, *primaries = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in xy.tolist())
    matrix = np.stack(primaries, axis=1)
    matrix = matrix * np.linalg.solve(matrix, white)
    cones = BRADFORD @ D50 / (BRADFORD @ white)
    return np.linalg.solve(BRADFORD, cones[:, None] * (BRADFORD @ matrix))


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(values)


def _fixed(values: Sequence[float] | np.ndarray) -> bytes:
    """s15Fixed16 numbers."""
    return struct.pack(f">{len(values)}i", *(round(float(value) * 65536) for value in values))
