"""Signatures in plain Python: ECDSA P-256 with SHA-256 (FIPS 186-4), Ed25519 (RFC 8032).

Only verification, so nothing here needs to run in constant time. For each P-256 key a table of
multiples is made once; after that a signature costs at most 128 additions of points.
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
Jacobian = tuple[int, int, int]
ZERO: Jacobian = (1, 1, 0)


def read_public_key(pem: str) -> tuple[Affine, str]:
    """Return point and key id (sha256 of the DER) of a P-256 public key; raises `ValueError`."""
    found = re.fullmatch(r"\s*-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+?)\s*-----END PUBLIC KEY-----\s*", pem)
    try:
        der = base64.b64decode("".join(found.group(1).split()), validate=True) if found else b""
    except binascii.Error:
        der = b""
    if len(der) != 91 or not der.startswith(SPKI):
        raise ValueError("not an uncompressed P-256 public key in PEM")
    x, y = int.from_bytes(der[27:59], "big"), int.from_bytes(der[59:], "big")
    if x >= P or y >= P or (y * y - x * x * x + 3 * x - B) % P:
        raise ValueError("the public key is not a point of the curve P-256")
    return (x, y), hashlib.sha256(der).hexdigest()


def verify_p256(point: Affine, signature: bytes, message: bytes) -> bool:
    """Tell whether `signature` (strict DER) by `point` is over `message`."""
    numbers = _read_der(signature)
    if numbers is None:
        return False
    r, s = numbers
    if not (0 < r < N and 0 < s < N):
        return False
    inverse = pow(s, -1, N)
    u1 = int.from_bytes(hashlib.sha256(message).digest(), "big") * inverse % N
    u2 = r * inverse % N
    total = ZERO
    for table, factor in ((_table(G), u1), (_table(point), u2)):
        for row in table:
            digit = factor & 15
            factor >>= 4  # noqa: PLW2901
            if digit:
                total = _add(total, row[digit - 1])
    x, zz = total[0], total[2] * total[2] % P
    return zz != 0 and ((r * zz - x) % P == 0 or (r + N < P and ((r + N) * zz - x) % P == 0))


def _read_der(raw: bytes) -> tuple[int, int] | None:
    """Read SEQUENCE { INTEGER r, INTEGER s }; anything but the one DER encoding of the two is None."""
    if not 8 <= len(raw) <= 72:
        return None
    cut = 4 + raw[3]
    r, s = int.from_bytes(raw[4:cut], "big"), int.from_bytes(raw[cut + 2 :], "big")
    integers = [number.to_bytes(number.bit_length() // 8 + 1, "big") for number in (r, s)]
    body = b"".join(bytes([2, len(integer)]) + integer for integer in integers)
    return (r, s) if raw == bytes([0x30, len(body)]) + body else None


@lru_cache(maxsize=256)
def _table(point: Affine) -> list[list[Affine]]:
    """Return rows i of the points d * 16^i * point, for d from 1 to 15."""
    bases: list[Jacobian] = []
    power: Jacobian = (*point, 1)
    for bit in range(256):
        if bit % 4 == 0:
            bases.append(power)
        power = _double(power)
    multiples: list[Jacobian] = []
    for base in _to_affine(bases):
        multiple: Jacobian = (*base, 1)
        for _ in range(15):
            multiples.append(multiple)
            multiple = _add(multiple, base)
    flat = _to_affine(multiples)
    return [flat[i : i + 15] for i in range(0, len(flat), 15)]


def _double(point: Jacobian) -> Jacobian:
    x, y, z = point
    yy = y * y % P
    beta = x * yy % P
    zz = z * z % P
    alpha = 3 * (x - zz) * (x + zz) % P
    x3 = (alpha * alpha - 8 * beta) % P
    return x3, (alpha * (4 * beta - x3) - 8 * yy * yy) % P, 2 * y * z % P


def _add(left: Jacobian, right: Affine) -> Jacobian:
    x1, y1, z1 = left
    if z1 == 0:
        return (*right, 1)
    zz = z1 * z1 % P
    h = (right[0] * zz - x1) % P
    r = (right[1] * zz * z1 - y1) % P
    if h == 0:
        return ZERO if r else _double(left)
    hh = h * h % P
    hhh = h * hh % P
    v = x1 * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - y1 * hhh) % P, z1 * h % P


def _to_affine(points: list[Jacobian]) -> list[Affine]:
    """Divide by z, with one inversion for all (Montgomery's trick); no point may be zero."""
    products = [1]
    for _, _, z in points:
        products.append(products[-1] * z % P)
    inverse = pow(products[-1], -1, P)
    found: list[Affine] = []
    for (x, y, z), before in zip(reversed(points), reversed(products[:-1]), strict=True):
        own = inverse * before % P
        inverse = inverse * z % P
        square = own * own % P
        found.append((x * square % P, y * square * own % P))
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
    if len(public) != 32 or len(signature) != 64:
        return False
    key, s = _decode(public), int.from_bytes(signature[32:], "little")
    if key is None or s >= L or _times(8, key)[0] % Q == 0:  # only points of small order end on x = 0
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    minus: Point = (Q - key[0], key[1], key[2], Q - key[3])
    x, y, z, _ = _sum(_times(s, _BASE), _times(k, minus))
    inverse = pow(z, -1, Q)
    x, y = x * inverse % Q, y * inverse % Q
    return (y | (x & 1) << 255).to_bytes(32, "little") == signature[:32]


def _decode(raw: bytes) -> Point | None:
    number = int.from_bytes(raw, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    if y >= Q:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, Q) % Q
    x = pow(square, (Q + 3) // 8, Q)
    if (x * x - square) % Q:
        x = x * pow(2, (Q - 1) // 4, Q) % Q
    if (x * x - square) % Q or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = Q - x
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
        if factor & 1:
            total = _sum(total, point)
        point, factor = _sum(point, point), factor >> 1
    return total
