"""RFC 3161: requests that OpenSSL reads, replies that are read strictly, stamps that count only when verified."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from custody.errors import InvalidInput, Tampered, Unavailable
from custody.ledger.timestamp import MAX_REPLY_BYTES, check_reply, in_der_order, read_reply, request_for, verify_reply

BODY = b"example.org/log\n5\nAAAA\n"
NONCE = 0x0123456789ABCDEF

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


def openssl(folder: Path, *words: str) -> str:
    done = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Authority:
    """A time-stamping authority of one's own, made with OpenSSL."""

    folder: Path

    @property
    def root(self) -> bytes:
        return (self.folder / "ca.pem").read_bytes()

    def stamp(self, request: bytes, *more: str) -> bytes:
        (self.folder / "request.tsq").write_bytes(request)
        words = ["-config", "tsa.cnf", "-queryfile", "request.tsq", "-signer", "tsa.pem", "-inkey", "tsa.key"]
        openssl(self.folder, "ts", "-reply", *words, "-out", "reply.tsr", *more)
        return (self.folder / "reply.tsr").read_bytes()


def make_authority(folder: Path) -> Authority:
    (folder / "tsa.cnf").write_text(
        "[tsa]\ndefault_tsa = one\n[one]\nserial = serial\nsigner_digest = sha256\ndefault_policy = 1.2.3.4.1\n"
        "digests = sha256\naccuracy = secs:1\ness_cert_id_alg = sha256\n"
    )
    (folder / "serial").write_text("01\n")
    (folder / "extensions").write_text("extendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature\n")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl(folder, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=CA", "-days", "30")
    openssl(folder, "req", *key, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=TSA")
    sign = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30", "-extfile", "extensions"]
    openssl(folder, "x509", "-req", "-in", "tsa.csr", *sign, "-out", "tsa.pem")
    return Authority(folder)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def reply(authority: Authority) -> bytes:
    return authority.stamp(request_for(BODY, NONCE))


@pytest.fixture(scope="module")
def chained(authority: Authority) -> bytes:
    """Give a reply that carries the whole chain, leaf first: not in the order DER asks for."""
    return authority.stamp(request_for(BODY, NONCE), "-chain", "ca.pem")


@pytest.mark.parametrize("nonce", [1, 0x7F, 0x80, 0xFF, 0x100, NONCE, 2**63 - 1])
def test_openssl_reads_the_request(authority: Authority, nonce: int) -> None:
    (authority.folder / "q.tsq").write_bytes(request_for(BODY, nonce))
    text = openssl(authority.folder, "ts", "-query", "-in", "q.tsq", "-text")
    assert "Version: 1" in text
    assert "Hash Algorithm: sha256" in text
    assert "Certificate required: yes" in text
    assert int(text.split("Nonce: 0x")[1].split()[0], 16) == nonce
    digest = hashlib.sha256(BODY).hexdigest()
    assert f"{digest[:2]} {digest[2:4]} {digest[4:6]}" in text


def test_a_reply_says_what_it_is_about_and_when(reply: bytes) -> None:
    stamp = check_reply(reply, BODY, NONCE)
    assert stamp.imprint == hashlib.sha256(BODY).digest()
    assert abs(stamp.at - datetime.now(UTC)) < timedelta(minutes=10)
    assert stamp.nonce == NONCE


def test_a_reply_to_another_request_is_refused(reply: bytes) -> None:
    with pytest.raises(InvalidInput, match="something else"):
        check_reply(reply, BODY + b"x", NONCE)
    with pytest.raises(InvalidInput, match="another request"):
        check_reply(reply, BODY, NONCE + 1)


def test_a_stamp_is_verified_under_its_root(authority: Authority, reply: bytes, chained: bytes) -> None:
    assert verify_reply(reply, BODY, authority.root) == read_reply(reply).at
    assert verify_reply(chained, BODY, authority.root) == read_reply(chained).at


def test_the_order_of_certificates_is_mended_and_nothing_else(reply: bytes, chained: bytes) -> None:
    from rfc3161_client import decode_timestamp_response

    assert in_der_order(reply) == reply
    mended = in_der_order(chained)
    assert sorted(mended) == sorted(chained)
    assert mended != chained
    with pytest.raises(ValueError, match="SetOrdering"):
        decode_timestamp_response(chained)
    decode_timestamp_response(mended)


def test_a_bare_token_is_read_as_well(authority: Authority, reply: bytes) -> None:
    (authority.folder / "r.tsr").write_bytes(reply)
    openssl(authority.folder, "ts", "-reply", "-in", "r.tsr", "-token_out", "-out", "token.der")
    token = (authority.folder / "token.der").read_bytes()
    assert read_reply(token) == read_reply(reply)
    assert verify_reply(token, BODY, authority.root) == read_reply(reply).at


def test_openssl_accepts_what_was_accepted(authority: Authority, reply: bytes, chained: bytes) -> None:
    (authority.folder / "body.txt").write_bytes(BODY)
    for found in (reply, chained, in_der_order(chained)):
        (authority.folder / "v.tsr").write_bytes(found)
        said = openssl(authority.folder, "ts", "-verify", "-in", "v.tsr", "-data", "body.txt", "-CAfile", "ca.pem")
        assert "Verification: OK" in said


def test_another_body_another_root_or_no_root_does_not_hold(reply: bytes, authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(Tampered, match="something else"):
        verify_reply(reply, BODY + b"x", authority.root)
    with pytest.raises(Tampered, match="does not hold"):
        verify_reply(reply, BODY, make_authority(tmp_path).root)
    for roots in (b"", b"hello"):
        with pytest.raises(InvalidInput, match="not certificates"):
            verify_reply(reply, BODY, roots)


def test_no_byte_of_the_signed_part_can_be_changed(authority: Authority, reply: bytes) -> None:
    """Every byte of imprint, time, serial and policy: an altered stamp is refused or says the same as before."""
    start = reply.index(hashlib.sha256(BODY).digest()) - 40
    for place in range(start, start + 120):
        changed = reply[:place] + bytes([reply[place] ^ 1]) + reply[place + 1 :]
        with pytest.raises((Tampered, InvalidInput)):
            verify_reply(changed, BODY, authority.root)


def test_no_cut_of_a_reply_is_one(reply: bytes) -> None:
    for length in range(len(reply)):
        with pytest.raises(InvalidInput):
            read_reply(reply[:length])


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\x30",
        b"\x30\x80",
        b"\x30\x00",
        b"\x30\x84\xff\xff\xff\xff",
        b"hello",
        b"\x30\x03\x02\x01\x00",
        b"0" * 70_000,
    ],
    ids=range(8),
)
def test_what_is_no_reply_is_refused(junk: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_reply(junk)


def test_a_refusal_by_the_authority_is_no_stamp() -> None:
    rejected = bytes.fromhex("3005300302" + "0102")
    with pytest.raises(InvalidInput, match="did not grant"):
        read_reply(rejected)


def test_what_is_too_large_is_refused(reply: bytes) -> None:
    with pytest.raises(InvalidInput, match="longer than"):
        read_reply(reply + bytes(MAX_REPLY_BYTES))


def test_without_the_library_nothing_is_verified(reply: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    with pytest.raises(Unavailable) as error:
        verify_reply(reply, BODY, b"")
    assert error.value.hint == "pip install 'custody[timestamp]'"
