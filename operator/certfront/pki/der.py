"""A small reader of DER and BER, for what must be known before or beside a full parse.

The parser of `cryptography` decides what a certificate or key is. This reader answers four
questions around it: the sign of a serial number (the parser warns or fails), the two signature
algorithms of a certificate (the parser does not compare them), explicit curve parameters, and how
much work a password-based key derivation asks for. All input is bounded by the callers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_ITERATIONS = 2_000_000
"""Iterations of a key derivation that are still run: about a second; OpenSSL's default is 2048."""

_MAX_SCRYPT_WORK = 1 << 20
"""N times r times p; OpenSSL's default is 2^17. It bounds memory too: 128 octets for each."""

_MAX_DEPTH = 24
_MAX_NODES = 20_000

_INTEGER = 0x02
_OCTET_STRING = 0x04
_SEQUENCE = 0x30
_CONSTRUCTED_OCTET_STRING = 0x24
_CONTEXT_0 = 0xA0
_EC_PUBLIC_KEY = bytes.fromhex("2a8648ce3d0201")


class Malformed(ValueError):
    """The bytes are not one complete element."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Element:
    tag: int
    content: bytes = field(repr=False)
    whole: bytes = field(repr=False)
    indefinite: bool = False


def serial_number(certificate: bytes) -> int:
    """Return the serial number of a certificate in DER, negative ones included."""
    fields = _tbs_fields(certificate)
    content = _at(fields, 0, _INTEGER).content
    if not content:
        raise Malformed("an empty serial number")
    return int.from_bytes(content, "big", signed=True)


def signature_algorithms(certificate: bytes) -> tuple[bytes, bytes]:
    """Return the algorithm inside the signed part and the one beside the signature, in DER.

    RFC 5280 section 4.1.1.2 demands that they are equal.
    """
    inner = _at(_tbs_fields(certificate), 1, _SEQUENCE).whole
    outer = _at(_children(_one(certificate)), 1, _SEQUENCE).whole
    return inner, outer


def has_explicit_curve(der: bytes) -> bool:
    """Say whether a certificate or a private key spells out its curve instead of naming it.

    RFC 5480 section 2.1.1 forbids it. Malformed input answers False: the parser refuses it.
    """
    try:
        nodes = list(_walk(_one(der), into_octets=False))
        top = _children(_one(der))
    except Malformed:
        return False
    for node in nodes:
        children = _children_or_none(node) if node.tag == _SEQUENCE else ()
        if len(children) >= 2 and children[0].content == _EC_PUBLIC_KEY:
            return children[1].tag == _SEQUENCE
    # SEC1: SEQUENCE { 1, privateKey OCTET STRING, [0] parameters, [1] publicKey }
    if len(top) >= 3 and top[1].tag == _OCTET_STRING and top[2].tag == _CONTEXT_0:
        return top[2].content[:1] == bytes((_SEQUENCE,))
    return False


def derivation_is_excessive(der: bytes) -> bool:
    """Say whether an encrypted key or a PKCS#12 asks for more work than we are willing to do.

    PBES1, PBKDF2, scrypt and the MAC of a PKCS#12 all write a salt followed by their costs, so
    the pattern `OCTET STRING, INTEGER` finds each. Raises `Malformed` if the outermost element is
    incomplete. Costs inside encrypted parts cannot be seen.
    """
    return any(_excessive_costs(node) for node in _walk(_one(der), into_octets=True))


def largest_wrapped_key(der: bytes) -> int:
    """Return the size in octets of the largest encrypted private key in a PKCS#12, 0 without one."""
    sizes = [0]
    for node in _walk(_one(der), into_octets=True):
        children = _children_or_none(node)
        if [child.tag for child in children] == [_SEQUENCE, _OCTET_STRING]:
            sizes.append(len(children[1].content))
    return max(sizes)


def is_indefinite(der: bytes) -> bool:
    """Say whether indefinite lengths (BER, not DER) are used; raises `Malformed`."""
    return any(node.indefinite for node in _walk(_one(der), into_octets=False))


def _excessive_costs(node: _Element) -> bool:
    children = _children_or_none(node)
    for position, child in enumerate(children):
        if child.tag != _OCTET_STRING:
            continue
        costs = _integers_from(children, position + 1)
        if len(costs) >= 3:
            n, r, p = costs[:3]
            if max(n, r, p, n * r * p) > _MAX_SCRYPT_WORK:
                return True
        elif costs and costs[0] > MAX_ITERATIONS:
            return True
    return False


def _integers_from(children: tuple[_Element, ...], start: int) -> list[int]:
    values: list[int] = []
    for child in children[start:]:
        if child.tag != _INTEGER:
            break
        values.append(int.from_bytes(child.content, "big", signed=True))
    return values


def _tbs_fields(certificate: bytes) -> tuple[_Element, ...]:
    """Return serialNumber and what follows it (RFC 5280 section 4.1)."""
    tbs = _at(_children(_one(certificate)), 0, _SEQUENCE)
    fields = _children(tbs)
    return fields[1:] if fields and fields[0].tag == _CONTEXT_0 else fields


def _at(elements: tuple[_Element, ...], position: int, tag: int) -> _Element:
    if len(elements) <= position or elements[position].tag != tag:
        raise Malformed("an element is missing")
    return elements[position]


def _walk(root: _Element, *, into_octets: bool) -> Iterator[_Element]:
    """Yield every element that can be reached, octet strings that hold elements included."""
    pending = [(root, 0)]
    seen = 0
    while pending:
        node, depth = pending.pop()
        seen += 1
        if seen > _MAX_NODES or depth > _MAX_DEPTH:
            raise Malformed("too many or too deep elements")
        yield node
        if node.tag & 0x20:
            pending.extend((child, depth + 1) for child in _children_or_none(node))
        if into_octets:
            pending.extend((child, depth + 1) for child in _embedded(node))


def _embedded(node: _Element) -> tuple[_Element, ...]:
    """Return the sequence that an octet string holds, if it holds one."""
    if node.tag == _OCTET_STRING:
        content = node.content
    elif node.tag == _CONSTRUCTED_OCTET_STRING:
        content = b"".join(part.content for part in _children_or_none(node))
    else:
        return ()
    if content[:1] != bytes((_SEQUENCE,)):
        return ()
    try:
        return (_read(content, 0, _MAX_DEPTH)[0],)
    except Malformed:
        return ()


def _children_or_none(node: _Element) -> tuple[_Element, ...]:
    if not node.tag & 0x20:
        return ()
    try:
        return _children(node)
    except Malformed:
        return ()


def _children(node: _Element) -> tuple[_Element, ...]:
    children: list[_Element] = []
    position = 0
    while position < len(node.content):
        child, position = _read(node.content, position, _MAX_DEPTH)
        children.append(child)
        if len(children) > _MAX_NODES:
            raise Malformed("too many elements")
    return tuple(children)


def _one(der: bytes) -> _Element:
    element, end = _read(der, 0, _MAX_DEPTH)
    if end != len(der):
        raise Malformed("trailing bytes")
    return element


def _read(data: bytes, start: int, depth: int) -> tuple[_Element, int]:
    if depth == 0 or len(data) < start + 2:
        raise Malformed("truncated")
    tag, length, position = data[start], data[start + 1], start + 2
    if tag & 0x1F == 0x1F:
        raise Malformed("a tag number above 30")
    if length == 0x80:
        return _read_indefinite(data, start, depth)
    if length > 0x80:
        octets = length & 0x7F
        if octets > 4 or len(data) < position + octets:
            raise Malformed("a length out of bounds")
        length = int.from_bytes(data[position : position + octets], "big")
        position += octets
    end = position + length
    if end > len(data):
        raise Malformed("truncated")
    return _Element(tag=tag, content=data[position:end], whole=data[start:end]), end


def _read_indefinite(data: bytes, start: int, depth: int) -> tuple[_Element, int]:
    tag, position = data[start], start + 2
    if not tag & 0x20:
        raise Malformed("an indefinite length on a primitive element")
    while data[position : position + 2] != b"\x00\x00":
        _, position = _read(data, position, depth - 1)
    content = data[start + 2 : position]
    end = position + 2
    return _Element(tag=tag, content=content, whole=data[start:end], indefinite=True), end
