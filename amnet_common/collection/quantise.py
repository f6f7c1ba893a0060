"""uint8 codes of features: feature = code * scale, one scale a channel, fixed before the first feature is written.

Features are outputs of a ReLU and never negative, so the codes 0..255 span [0, the largest value of a sample]; what is
larger is clipped, and counted. DESIGN section 3; measured on real features in docs/performance.md.
"""

import hashlib

import numpy as np

CODES = 255


def scales_sha256(scales: np.ndarray) -> str:
    """Compute the SHA-256 of the float32 bytes of scales (D,), as hex digits: what the spec says of them."""
    return hashlib.sha256(np.asarray(scales, "<f4").tobytes()).hexdigest()


def scales_from_maxima(maxima: np.ndarray) -> np.ndarray:
    """Compute scales, (D,) float32, from each channel's largest value in a sample: scale = maximum / 255.

    A channel that never fired in the sample gets the median scale of the others, so that it is not clipped to nothing;
    where none fired, all scales are 1.
    """
    scales = np.asarray(maxima, np.float32) / np.float32(CODES)
    fired = scales > 0
    return np.where(fired, scales, np.median(scales[fired]) if fired.any() else np.float32(1)).astype(np.float32)


def quantise(features: np.ndarray, scales: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the codes (..., D) uint8 of float32 features (..., D) by scales (D,), and how many values were clipped.

    The reference for what amnet-extract computes on the device of its network.
    """
    codes = np.rint(features / scales)
    return np.clip(codes, 0, CODES).astype(np.uint8), int((codes > CODES).sum())


def dequantise(codes: np.ndarray, scales: np.ndarray | None) -> np.ndarray:
    """Return stored values as float32 features (..., D); `scales` None: they are floats already."""
    features = codes.astype(np.float32)
    if scales is not None:
        features *= scales
    return features
