"""What can be told of a picture file from its bytes alone."""

from __future__ import annotations

_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


def is_whole(content: bytes, format_: str) -> bool:
    """Whether a png, jpeg or webp file has its end. Decoders forgive a missing one; a cut download must not pass."""
    if format_ == "png":
        return content.rfind(_PNG_END) >= 0
    if format_ == "jpeg":
        return content.rfind(b"\xff\xd9") > content.rfind(b"\xff\xda")  # end of image after the last scan's start
    return len(content) >= int.from_bytes(content[4:8], "little") + 8
