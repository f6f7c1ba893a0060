"""Image files to 8-bit RGB, read once and decoded once; or one line that says why not."""

from amnet_common.images.bounds import Limits, ignored_pillow_warnings
from amnet_common.images.budget import Budget
from amnet_common.images.decoding import Picture, decode_rgb, decoded, picture_of
from amnet_common.images.source import SourceFile, read_source

__all__ = [
    "Budget",
    "Limits",
    "Picture",
    "SourceFile",
    "decode_rgb",
    "decoded",
    "ignored_pillow_warnings",
    "picture_of",
    "read_source",
]
