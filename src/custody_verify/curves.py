"""Signatures in plain Python: ECDSA P-256 with SHA-256 (FIPS 186-4), Ed25519 (RFC 8032).

Only verification, so nothing here needs to run in constant time. For each P-256 key a table of multiples is made
once; after that a signature costs some 120 additions of points.
"""

import base64
import binascii
import hashlib
import re
from functools import lru_cache

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
"""What stands before the 64 bytes of an uncompressed P-256 point in a SubjectPublicKeyInfo (RFC 5480)."""

Affine = tuple[int, int]
def read_public_key(pem: str) -> tuple[Affine, str]:
    """Return point and key id (sha256 of the DER) of a P-256 public key; raises `ValueError`."""
    found = re.fullmatch(r"\s*-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+?)\s*-----END PUBLIC KEY-----\s*", pem)
    try:
        der = base64.b64decode("".join(found.group(1).split()), validate=True) if found else b""
    except binascii.Error:
        der = b""
    if len(der) != 91 or not der.startswith(SPKI): raise ValueError("not an uncompressed P-256 public key in PEM")
    x, y = int.from_bytes(der[27:59], "big"), int.from_bytes(der[59:], "big")
    if x >= P or y >= P or (y * y - x * x * x + 3 * x - B) % P:
        raise ValueError("the public key is not a point of the curve P-256")
    return (x, y), hashlib.sha256(der).hexdigest()
def read_signature(raw: bytes) -> Affine | None:
    """Read SEQUENCE { INTEGER r, INTEGER s }; anything but the one DER encoding of the two is None."""
    if not 8 <= len(raw) <= 72: return None
    cut = 4 + raw[3]
    r, s = int.from_bytes(raw[4:cut], "big"), int.from_bytes(raw[cut + 2 :], "big")
    integers = [number.to_bytes(number.bit_length() // 8 + 1, "big") for number in (r, s)]
    body = b"".join(bytes([2, len(integer)]) + integer for integer in integers)
    return (r, s) if raw == bytes([0x30, len(body)]) + body and 0 < r < N and 0 < s < N else None
def verify_p256(point: Affine, signature: bytes, message: bytes) -> bool:
    """Tell whether `signature` (strict DER) by `point` is over `message`."""
    numbers = read_signature(signature)
    return numbers is not None and first_wrong([(point, numbers, message)]) is None
def first_wrong(signed: list[tuple[Affine, Affine, bytes]]) -> int | None:
    """Return the place of the first of (key, (r, s), message) that is no valid signature; None if all are valid.
    u1 * G + u2 * key is a sum of multiples from the tables of G and of the key; the sums of all signatures are
    added up side by side, so that they share their inversions.
    """
    sums: list[list[Affine]] = []
    for (point, (r, _), message), inverse in zip(signed, _inverses([s for _, (_, s), _ in signed], N), strict=True):
        u1 = int.from_bytes(hashlib.sha256(message).digest(), "big") * inverse % N
        sums.append(_terms(G, u1) + _terms(point, r * inverse % N))
    while any(len(terms) > 1 for terms in sums):
        added = iter(_add([pair for terms in sums for pair in zip(terms[::2], terms[1::2], strict=False)]))
        paired = [[next(added) for _ in range(len(terms) // 2)] for terms in sums]
        sums = [[p for p in some if p] + terms[2 * len(some) :] for some, terms in zip(paired, sums, strict=True)]
    fits = [bool(left) and (left[0][0] - r) % N == 0 for left, (_, (r, _), _) in zip(sums, signed, strict=True)]
    return fits.index(False) if False in fits else None
def _terms(point: Affine, factor: int) -> list[Affine]:
    return [row[digit - 1] for i, row in enumerate(_table(point)) if (digit := factor >> 4 * i & 15)]

@lru_cache(maxsize=256)
def _table(point: Affine) -> list[list[Affine]]:
    """Return 64 rows i of the points d * 16^i * point, for d from 1 to 15."""
    doubled = [point]  # no multiple of a point is zero here: the order is a large prime
    while len(doubled) < 256: doubled += [twice for twice in _add([(doubled[-1], doubled[-1])]) if twice]
    columns = [doubled[::4]]
    while len(columns) < 15: columns.append([p for p in _add(list(zip(columns[-1], columns[0], strict=True))) if p])
    return [list(row) for row in zip(*columns, strict=True)]
def _add(pairs: list[tuple[Affine, Affine]]) -> list[Affine | None]:
    """Add points in pairs by the line through both, with one inversion for all; None is the zero."""
    lines = []  # rise and run of the line through both points: a tangent where they are one, or a vertical line
    for (x1, y1), (x2, y2) in pairs:
        lines.append((y2 - y1, x2 - x1) if x1 != x2 else (3 * x1 * x1 - 3, 2 * y1 if y1 == y2 else 0))
    found: list[Affine | None] = []
    inverses = _inverses([run or 1 for _, run in lines], P)
    for ((x1, y1), (x2, _)), (rise, run), inverse in zip(pairs, lines, inverses, strict=True):
        slope = rise * inverse % P
        x = (slope * slope - x1 - x2) % P
        found.append((x, (slope * (x1 - x) - y1) % P) if run else None)
    return found
def _inverses(numbers: list[int], modulus: int) -> list[int]:
    """Invert numbers, none of them zero, with one inversion for all (Montgomery's trick)."""
    products, total = [], 1
    for number in numbers:
        products.append(total)
        total = total * number % modulus
    inverse, found = pow(total, -1, modulus), []
    for number, before in zip(reversed(numbers), reversed(products), strict=True):
        found.append(inverse * before % modulus)
        inverse = inverse * number % modulus
    return found[::-1]

# Ed25519: the twisted Edwards curve -x^2 + y^2 = 1 + d x^2 y^2 over 2^255 - 19 (RFC 8032, 5.1).
Q = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, Q) % Q
Point = tuple[int, int, int, int]
_NEUTRAL: Point = (0, 1, 1, 0)
_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
_Y = 4 * pow(5, -1, Q) % Q
_BASE: Point = (_X, _Y, 1, _X * _Y % Q)
def verify_ed25519(public: bytes, signature: bytes, message: bytes) -> bool:
    """Tell whether the signature is valid; keys of small order and a second form of S are refused."""
    if len(public) != 32 or len(signature) != 64: return False
    key, s = _decode(public), int.from_bytes(signature[32:], "little")
    if key is None or s >= L or is_weak(public): return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    minus: Point = (Q - key[0], key[1], key[2], Q - key[3])
    x, y, z, _ = _sum(_times(s, _BASE), _times(k, minus))
    inverse = pow(z, -1, Q)
    x, y = x * inverse % Q, y * inverse % Q
    return (y | (x & 1) << 255).to_bytes(32, "little") == signature[:32]
def is_weak(public: bytes) -> bool:
    """Tell whether a key is no point of the curve or one of small order, which would accept forged signatures."""
    key = _decode(public) if len(public) == 32 else None
    return key is None or _times(8, key)[0] % Q == 0  # only points of small order end on x = 0
def _decode(raw: bytes) -> Point | None:
    number = int.from_bytes(raw, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    if y >= Q: return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, Q) % Q
    x = pow(square, (Q + 3) // 8, Q)
    if (x * x - square) % Q: x = x * pow(2, (Q - 1) // 4, Q) % Q
    if (x * x - square) % Q or (x == 0 and sign): return None
    if x & 1 != sign: x = Q - x
    return x, y, 1, x * y % Q
def _sum(left: Point, right: Point) -> Point:
    a = (left[1] - left[0]) * (right[1] - right[0]) % Q
    b = (left[1] + left[0]) * (right[1] + right[0]) % Q
    c = 2 * left[3] * right[3] * D % Q
    d = 2 * left[2] * right[2] % Q
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % Q, g * h % Q, f * g % Q, e * h % Q
def _times(factor: int, point: Point) -> Point:
    total = _NEUTRAL
    while factor:
        if factor & 1: total = _sum(total, point)
        point, factor = _sum(point, point), factor >> 1
    return total
