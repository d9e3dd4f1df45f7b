"""Keys in tokens and key services. The token is SoftHSM, a real PKCS#11 module; no key service is called."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from custody.adapters import signers
from custody.adapters.signers import MODULES, open_signer
from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.subject import Subject
from custody.errors import CustodyError, InvalidInput, NotFound, NotPermitted, Tampered, Unavailable
from custody.seal.keys import PersonKey, keyid_of, verify_p256
from custody.wiring import add_person, create

SOFTHSM = [path for path in MODULES if "softhsm" in path and os.path.exists(path)]  # noqa: PTH110
needs_token = pytest.mark.skipif(
    not SOFTHSM or not shutil.which("softhsm2-util"), reason="softhsm2 is not installed: apt-get install softhsm2"
)
PIN = {"CUSTODY_PIN": "123456"}


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make two tokens: `bank` with a P-256 key (2), a P-384 key (3) and an RSA key (4); `empty` with none.

    The module reads its configuration once in a process, so all tests here share these.
    """
    folder = tmp_path_factory.mktemp("token")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        patch.delenv("PYKCS11LIB", raising=False)
        for label in ("bank", "empty"):
            subprocess.run(
                [
                    "softhsm2-util",
                    "--init-token",
                    "--free",
                    "--label",
                    label,
                    "--so-pin",
                    "12345678",
                    "--pin",
                    "123456",
                ],
                check=True,
                capture_output=True,
                timeout=60,
            )
        import pkcs11
        from pkcs11.util.ec import encode_named_curve_parameters

        with pkcs11.lib(SOFTHSM[0]).get_token(token_label="bank").open(user_pin="123456", rw=True) as session:
            for number, curve in ((2, "secp256r1"), (3, "secp384r1")):
                parameters = session.create_domain_parameters(
                    pkcs11.KeyType.EC,
                    {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters(curve)},
                    local=True,
                )
                parameters.generate_keypair(store=True, id=bytes([number]), label=f"key {number}")
            session.generate_keypair(pkcs11.KeyType.RSA, 2048, store=True, id=bytes([4]), label="rsa")
        yield folder


@needs_token
def test_a_token_signs_and_its_key_never_leaves_it(token: Path) -> None:
    signer = open_signer("pkcs11:token=bank;id=%02", token, PIN)
    for message in (b"one", b"two"):
        verify_p256(signer.public, signer.sign(message), message)  # type: ignore[attr-defined]
    assert signer.keyid == keyid_of(signer.public)  # type: ignore[attr-defined]
    assert open_signer(f"pkcs11:token=bank?module-path={SOFTHSM[0]}", token, PIN).keyid == signer.keyid


@needs_token
@pytest.mark.parametrize(
    ("uri", "pin", "error", "match"),
    [
        ("pkcs11:token=bank;id=%02", "000000", NotPermitted, "does not accept this PIN"),
        ("pkcs11:token=bank;id=%02", "", NotPermitted, "asks for its pin"),
        ("pkcs11:token=elsewhere;id=%02", "123456", Unavailable, "not there"),
        ("pkcs11:token=empty;id=%02", "123456", NotFound, "no single P-256 key"),
        ("pkcs11:token=bank;id=%09", "123456", NotFound, "no single P-256 key"),
        ("pkcs11:token=bank;id=%04", "123456", NotFound, "no single P-256 key"),
        ("pkcs11:token=bank;id=%03", "123456", InvalidInput, "not ECDSA P-256"),
        ("pkcs11:", "123456", InvalidInput, "more than one token"),
        ("pkcs11:token=bank?module-path=/no/such.so", "123456", Unavailable, "no PKCS#11 module"),
        ("pkcs11:token=bank;pin-value=123456", "123456", InvalidInput, "not pin-value"),
        ("pkcs11:bank", "123456", InvalidInput, "cannot be read"),
    ],
)
def test_what_goes_wrong_with_a_token_is_said(token: Path, uri: str, pin: str, error: Any, match: str) -> None:
    with pytest.raises(error, match=match) as caught:
        open_signer(uri, token, {"CUSTODY_PIN": pin}).sign(b"x")
    assert caught.value.exit_code == {NotPermitted: 5, Unavailable: 6, NotFound: 3, InvalidInput: 2}[error]


@needs_token
def test_a_person_is_enrolled_with_a_token_and_signs_with_it(token: Path, tmp_path: Path) -> None:
    create(tmp_path, "loans", "olga", environment={"CUSTODY_STATE": str(tmp_path)})
    signer = open_signer("pkcs11:token=bank;id=%02", tmp_path, PIN)
    (tmp_path / "ann.pub").write_text(signer.public)  # type: ignore[attr-defined]
    toml = tmp_path / "custody.toml"
    toml.write_text(toml.read_text() + '\n[keys]\nann = "pkcs11:token=bank;id=%02"\nbob = "pkcs11:token=bank;id=%02"\n')
    from custody.wiring import open_custody

    custody = open_custody(tmp_path, {"CUSTODY_STATE": str(tmp_path)})
    add_person(custody, "olga", "ann", ["approver"], tmp_path / "ann.pub")
    add_person(custody, "olga", "bob", ["approver"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUSTODY_PIN", "123456")
        said = {"use_case": "loans", "verdict": "approve", "reason": "seen"}
        entry = custody.desk.permit("ann", Action.APPROVE).write(Subject("m", "ab" * 32), kinds.APPROVAL, said)
        assert (entry.actor, entry.keyid) == ("ann", signer.keyid)
        with pytest.raises(NotPermitted, match="not the one on record"):
            custody.desk.permit("bob", Action.APPROVE)
        patch.setenv("CUSTODY_PIN", "999999")
        with pytest.raises(NotPermitted, match="PIN"):
            custody.desk.permit("ann", Action.APPROVE).write(Subject("m", "ab" * 32), kinds.APPROVAL, said)
    assert not (tmp_path / ".custody" / "keys" / "ann.pem").exists()
    assert custody.desk.thoroughly().read().size == entry.index + 1


@needs_token
def test_a_signature_that_does_not_fit_its_own_key_is_not_used(token: Path) -> None:
    signer = open_signer("pkcs11:token=bank;id=%02", token, PIN)
    wrong = signers.DeviceKey("pkcs11", signer._device, PersonKey.generate().public)  # type: ignore[attr-defined]
    with pytest.raises(Tampered, match="its own public key"):
        wrong.sign(b"x")


# Files, and schemes


def test_a_file_uri_names_a_key_below_the_project(tmp_path: Path) -> None:
    key = PersonKey.generate()
    key.save(tmp_path / "safe" / "ann key.pem", "open sesame")
    environment = {"CUSTODY_PASSPHRASE": "open sesame"}
    assert open_signer("file:safe/ann%20key.pem", tmp_path, environment).keyid == key.keyid
    assert open_signer(f"file:{tmp_path}/safe/ann%20key.pem", tmp_path / "x", environment).keyid == key.keyid
    with pytest.raises(NotPermitted, match="encrypted"):
        open_signer("file:safe/ann%20key.pem", tmp_path, {})
    with pytest.raises(NotFound):
        open_signer("file:no.pem", tmp_path, {})


@pytest.mark.parametrize("uri", ["", "http://x", "hsm:2", "gnupg:x", "File:x"])
def test_an_unknown_kind_of_key_is_refused(uri: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no kind of key"):
        open_signer(uri, tmp_path, {})


# Key services: the library's real classes, which find neither their service nor the service's own library here

SERVICES = {
    "awskms:alias/custody": "awskms",
    "gcpkms:projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1": "gcpkms",
    "azurekms://bank.vault.azure.net/keys/custody/1": "azurekms",
    "hv:custody/1": "vault",
}


@pytest.mark.parametrize("uri", SERVICES)
def test_without_the_services_library_the_command_that_installs_it_is_named(uri: str, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="not installed") as caught:
        open_signer(uri, tmp_path, {})
    assert f"securesystemslib[{SERVICES[uri]}]" in caught.value.hint
    assert caught.value.exit_code == 6


@pytest.mark.parametrize(
    "uri", ["awskms:", "gcpkms:", "azurekms:x", "azurekms://v/other/x", "hv:name", "hv:", "hv:a/b"]
)
def test_a_service_uri_that_names_no_key_is_refused(uri: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        open_signer(uri, tmp_path, {})


def test_every_service_is_one_the_library_knows() -> None:
    from securesystemslib.signer import SIGNER_FOR_URI_SCHEME

    for scheme, name in signers.KMS.items():
        assert SIGNER_FOR_URI_SCHEME[scheme].__name__ == name


def test_a_service_is_asked_for_its_public_key_and_then_for_signatures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The class is the library's; what stands for the service behind it is a key in memory."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.signer import AWSSigner, CryptoSigner, SSlibKey

    key = PersonKey.generate()
    public = SSlibKey.from_crypto(load_pem_public_key(key.public.encode()))
    asked = []

    def import_(name: str) -> tuple[str, SSlibKey]:
        asked.append(name)
        return f"awskms:{name}", public

    monkeypatch.setattr(AWSSigner, "import_", import_)
    monkeypatch.setattr(AWSSigner, "__init__", lambda self, name, found: setattr(self, "_name", (name, found)))
    monkeypatch.setattr(AWSSigner, "sign", lambda self, payload: CryptoSigner(key._private, public).sign(payload))
    signer = open_signer("awskms:alias/custody", tmp_path, {})
    assert (asked, signer.keyid) == (["alias/custody"], key.keyid)
    verify_p256(key.public, signer.sign(b"x"), b"x")


class Throttled(Exception):
    """What a cloud library might raise."""


@pytest.mark.parametrize(
    ("raised", "error", "match"),
    [
        (Throttled("slow down"), Unavailable, "did not answer"),
        (TimeoutError(), Unavailable, "did not answer"),
        (ValueError("unsupported curve"), InvalidInput, "not an ECDSA P-256 key"),
    ],
)
def test_whatever_a_service_raises_is_one_of_our_errors(
    raised: Exception, error: type[CustodyError], match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from securesystemslib.signer import VaultSigner

    def import_(name: str) -> Any:
        raise raised

    monkeypatch.setattr(VaultSigner, "import_", import_)
    with pytest.raises(error, match=match):
        open_signer("hv:custody/1", tmp_path, {})


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "securesystemslib.signer", None)
    with pytest.raises(Unavailable) as caught:
        open_signer("pkcs11:token=bank", tmp_path, {})
    assert "custody[hsm]" in caught.value.hint
