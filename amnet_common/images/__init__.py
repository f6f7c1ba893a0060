"""Image files to 8-bit RGB, read once and decoded once; or one line that says why not."""

from amnet_common.images.decoding import decode_rgb
from amnet_common.images.source import SourceFile, read_source

__all__ = ["SourceFile", "decode_rgb", "read_source"]
