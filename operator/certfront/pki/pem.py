"""PEM as people really paste it: bounded, counted, and with a fault for each wrong format.

RFC 7468 with a lenient reader: byte order marks, CRLF, indentation, a block on one line and text
around blocks are accepted. A block is never skipped: each marker must have its counterpart and
each body must decode. Used by `keys`, `certificates`, `pair`, `chain` and `upload`.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field

from certfront.pki.faults import UnusableMaterial, UploadFault

MAX_PEM_SIZE = 256 * 1024
"""Octets of one field that are looked at: ten large certificates are a sixteenth of it."""

MAX_BLOCKS = 32

CERTIFICATE_LABELS = frozenset({"CERTIFICATE", "X509 CERTIFICATE"})

_MARKER = re.compile(rb"-----(BEGIN|END) ([A-Z0-9 #]{1,40})-----")
_LOOSE_MARKER = re.compile(rb"(?:BEGIN|END) (?:[A-Z0-9]{1,12} ){0,3}(?:CERTIFICATE|KEY)-")
_PKCS7_OID = bytes.fromhex("06092a864886f70d010702")
_HEADER_END = re.compile(rb"\r?\n[ \t]*\r?\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One PEM block. `body` is the decoded content; `text` the block in canonical form.

    `encrypted` is true for RFC 1421 encryption (`Proc-Type: 4,ENCRYPTED`), where the body is a
    ciphertext and only `text` can be loaded.
    """

    label: str
    body: bytes = field(repr=False)
    text: bytes = field(repr=False)
    encrypted: bool = False


def blocks(
    data: bytes, *, max_size: int = MAX_PEM_SIZE, max_blocks: int = MAX_BLOCKS
) -> tuple[Block, ...]:
    """Return every block of a text, in order, at least one; raises `UnusableMaterial`.

    Cost is linear in the size, and input over the bounds is refused before it is looked at.
    """
    if len(data) > max_size:
        raise UnusableMaterial(UploadFault.TOO_LARGE)
    text = _as_text(data)
    markers = list(_MARKER.finditer(text))
    if len(markers) > 2 * max_blocks:
        raise UnusableMaterial(UploadFault.TOO_MANY_BLOCKS)
    if len(_LOOSE_MARKER.findall(text)) > len(markers):
        raise UnusableMaterial(UploadFault.DAMAGED_PEM, "The dashes of a PEM marker are damaged.")
    if not markers:
        raise UnusableMaterial(UploadFault.NOT_PEM)
    return tuple(
        _block(text, markers[position], markers[position + 1 : position + 2])
        for position in range(0, len(markers), 2)
    )


def encode(label: str, der: bytes) -> bytes:
    """Return one canonical block: LF, lines of 64, one newline at the end (RFC 7468 section 3)."""
    encoded = base64.b64encode(der)
    lines = [encoded[start : start + 64] for start in range(0, len(encoded), 64)]
    name = label.encode("ascii")
    begin, end = b"-----BEGIN " + name + b"-----", b"-----END " + name + b"-----"
    return b"\n".join((begin, *lines, end, b""))


def is_private_key(label: str) -> bool:
    """Say whether a label is that of a private key, encrypted or not, in any format."""
    return label.endswith("PRIVATE KEY")


def _as_text(data: bytes) -> bytes:
    """Return the text without a byte order mark, or name the format that it is in instead."""
    text = data.removeprefix(b"\xef\xbb\xbf")
    if not text.strip():
        raise UnusableMaterial(UploadFault.NOT_PEM, "The field is empty.")
    if text[:2] in {b"\xff\xfe", b"\xfe\xff"} or b"-\x00-\x00" in text[:4096]:
        raise UnusableMaterial(UploadFault.UTF16_TEXT)
    if text[:1] == b"\x30" and b"-----BEGIN" not in text:
        pkcs7 = _PKCS7_OID in text[:32]
        raise UnusableMaterial(UploadFault.PKCS7_NOT_PEM if pkcs7 else UploadFault.DER_NOT_PEM)
    if rb"-----\n" in text or rb"\n-----" in text:
        raise UnusableMaterial(UploadFault.ESCAPED_NEWLINES)
    if text.lstrip().startswith(b"LS0tLS1CRUdJTi"):
        raise UnusableMaterial(UploadFault.ENCODED_TWICE)
    return text


def _block(text: bytes, begin: re.Match[bytes], rest: list[re.Match[bytes]]) -> Block:
    end = rest[0] if rest else None
    if begin[1] != b"BEGIN" or end is None or end[1] != b"END" or end[2] != begin[2]:
        raise UnusableMaterial(UploadFault.DAMAGED_PEM, "A PEM block has no matching end.")
    label = begin[2].decode("ascii")
    content = text[begin.end() : end.start()]
    headers = b""
    if b":" in content:
        headers, content = _split_headers(content)
    compact = b"".join(content.split())
    try:
        body = binascii.a2b_base64(compact, strict_mode=True)
    except ValueError:
        raise UnusableMaterial(
            UploadFault.DAMAGED_PEM, "A PEM block holds characters that are not base64."
        ) from None
    if not body:
        raise UnusableMaterial(UploadFault.DAMAGED_PEM, "A PEM block is empty.")
    encrypted = b"ENCRYPTED" in headers
    canonical = encode(label, body)
    if encrypted:
        first, newline, lines = canonical.partition(b"\n")
        canonical = first + newline + headers + b"\n\n" + lines
    return Block(label=label, body=body, text=canonical, encrypted=encrypted)


def _split_headers(content: bytes) -> tuple[bytes, bytes]:
    """Split RFC 1421 headers from the body: they end at the first blank line."""
    parts = _HEADER_END.split(content.lstrip(b"\r\n"), maxsplit=1)
    if len(parts) != 2:
        raise UnusableMaterial(UploadFault.DAMAGED_PEM, "A PEM block has headers but no body.")
    lines = [line.strip() for line in parts[0].splitlines()]
    return b"\n".join(lines), parts[1]
