"""Layers around a body: compression and base64, removed and put back."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Callable

MAX_OPENED_BYTES = 64 * 1024 * 1024
"""Of a compressed body: a larger one counts as one that nothing opens."""
BOM = b"\xef\xbb\xbf"
SPACE = b" \t\r\n\x0b\x1c\x00"
BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")
_MAX_LAYERS = 5
_GZIP, _ZLIB = b"\x1f\x8b", (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_READABLE_SHARE = 0.95
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def opened(body: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
    """What is in ``body`` once its layers are removed, and what puts a content back into such layers."""
    wraps: list[Callable[[bytes], bytes]] = []
    content = body
    for _ in range(_MAX_LAYERS):
        layer = _layer(content)
        if layer is None:
            break
        content, wrap = layer
        wraps.insert(0, wrap)

    def wrap_again(inner: bytes) -> bytes:
        for wrap in wraps:
            inner = wrap(inner)
        return inner

    return content, wrap_again


def _layer(content: bytes) -> tuple[bytes, Callable[[bytes], bytes]] | None:
    if content.startswith(_GZIP):
        inner = _inflated(content, 31)
        return None if inner is None else (inner, lambda data: _deflated(data, 31))
    if content.startswith(_ZLIB):
        inner = _inflated(content, 15)
        return None if inner is None else (inner, lambda data: _deflated(data, 15))
    text = content.strip(SPACE).strip(b'"')
    if BASE64.fullmatch(text):
        inner = _of_base64(text)
        if inner is not None and _is_body(inner):
            return inner, base64.b64encode
    return None


def _inflated(content: bytes, window: int) -> bytes | None:
    decoder = zlib.decompressobj(window)
    try:
        data = decoder.decompress(content, MAX_OPENED_BYTES)
    except zlib.error:
        return None
    return data if decoder.eof else None


def _deflated(content: bytes, window: int) -> bytes:
    encoder = zlib.compressobj(wbits=window)
    return encoder.compress(content) + encoder.flush()


def _of_base64(text: bytes) -> bytes | None:
    try:
        return base64.b64decode(text.translate(bytes.maketrans(b"-_", b"+/")) + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _is_body(content: bytes) -> bool:
    start = content.removeprefix(BOM).lstrip(SPACE)
    return start.startswith((_GZIP, *_ZLIB, b"{", b"[", b"MSH"))


def is_text(content: bytes) -> bool:
    """True for a content that people could read, in whatever language."""
    for encoding in ("utf-8", *(("utf-16",) if content.startswith(_UTF16) else ())):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        return not any(character < " " and character not in "\t\r\n\x0b\x1c\0" for character in text)
    sample = content[:4096]
    readable = sum(byte >= ord(" ") or byte in b"\t\r\n" for byte in sample)
    return readable >= _READABLE_SHARE * len(sample) and b"\0" not in sample
