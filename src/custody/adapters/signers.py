"""Signers by URI: keys in files, in PKCS#11 tokens and in key services, through securesystemslib.

    file:PATH                                               a PEM file, encrypted or not
    pkcs11:token=LABEL;id=%02?module-path=/usr/lib/...so    a token (RFC 7512); `id` is 2 unless given
    awskms:KEY   gcpkms:KEY/cryptoKeyVersions/N   azurekms://VAULT/keys/NAME/VERSION   hv:NAME/VERSION

The public key always comes from where the private one is, and is compared with the one on record; every
signature is verified before it is used. A PIN comes from CUSTODY_PIN or is asked for on a terminal; it stands in
no file and in no URI.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, unquote_to_bytes, urlencode

from custody.errors import InvalidInput, NotFound, NotPermitted, Tampered, Unavailable
from custody.seal.keys import PersonKey, Signer, canonical_pem, keyid_of, verify_p256

KMS = {"awskms": "AWSSigner", "gcpkms": "GCPSigner", "azurekms": "AzureSigner", "hv": "VaultSigner"}
_PARTS = {"pkcs11": "hsm", "hv": "vault"}
"""What the library calls the part that reaches a kind of key, where not by the kind's own name."""
SCHEMES = ("file", "pkcs11", *KMS)
MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so",
    "/usr/lib/x86_64-linux-gnu/libykcs11.so",
)
"""Where Debian puts PKCS#11 modules; looked at in order when neither the URI nor PYKCS11LIB names one."""


class DeviceKey:
    """A P-256 key that never leaves its token or service."""

    def __init__(self, scheme: str, device: Any, public: str) -> None:
        self._scheme, self._device = scheme, device
        self.public = canonical_pem(public)
        self.keyid = keyid_of(self.public)

    def sign(self, message: bytes) -> bytes:
        """Return an ECDSA P-256 / SHA-256 signature in DER, verified; raises by what went wrong."""
        signature = bytes.fromhex(_asked(self._scheme, lambda: self._device.sign(message)).signature)
        try:
            verify_p256(self.public, signature, message)
        except Tampered:
            raise Tampered("the device's signature does not fit its own public key") from None
        return signature


def open_signer(uri: str, root: Path, environment: Mapping[str, str] = os.environ) -> Signer:
    """Return what signs under `uri`; relative file names are below `root`.

    Raises `InvalidInput` for a URI that cannot be read, `NotFound` where there is no such key, `NotPermitted`
    for a wrong PIN or passphrase, `Unavailable` without the token, the service or the library.
    """
    scheme, _, rest = uri.partition(":")
    if scheme == "file":
        path = root / Path(unquote(rest)).expanduser()
        return PersonKey.load(path, environment.get("CUSTODY_PASSPHRASE", ""))
    if scheme == "pkcs11":
        return _open_token(rest, _pin(environment))
    if scheme in KMS:
        return _open_service(scheme, uri, rest)
    raise InvalidInput(f"{scheme!r} is no kind of key that Custody knows", hint=f"known: {', '.join(SCHEMES)}")


def _open_token(rest: str, ask: Callable[[str], str]) -> DeviceKey:
    signers = _library("pkcs11")
    path, _, query = rest.partition("?")
    try:
        parts = dict(part.split("=", 1) for part in path.split(";") if part)
    except ValueError:
        raise InvalidInput("the pkcs11 URI cannot be read", hint="pkcs11:token=LABEL;id=%02") from None
    asked = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := (set(parts) - {"token", "id"}) | (set(asked) - {"module-path"}):
        refused = ", ".join(sorted(unknown))
        raise InvalidInput(f"a pkcs11 URI here has token, id and module-path, not {refused}", hint="PIN: CUSTODY_PIN")
    number = int.from_bytes(unquote_to_bytes(parts.get("id", "%02")), "big")
    label = unquote(parts.get("token", "")) or None
    module = asked.get("module-path") or os.environ.get("PYKCS11LIB") or next(filter(os.path.exists, MODULES), "")
    if not Path(module).is_file():
        raise Unavailable(
            f"there is no PKCS#11 module {module}".rstrip(), hint="name it: pkcs11:...?module-path=/usr/lib/...so"
        )
    os.environ["PYKCS11LIB"] = module
    _uri, public = _asked("pkcs11", lambda: signers.HSMSigner.import_(number, label, ask))
    query = f"?{urlencode({'label': label})}" if label else ""
    device = _asked("pkcs11", lambda: signers.HSMSigner.from_priv_key_uri(f"hsm:{number}{query}", public, ask))
    return DeviceKey("pkcs11", device, _pem_of(public))


def _open_service(scheme: str, uri: str, rest: str) -> DeviceKey:
    kind = getattr(_library(scheme), KMS[scheme])
    if scheme == "azurekms":
        found = re.fullmatch(r"//([^/.]+)[^/]*/keys/([^/]+)(/[^/]+)?", rest)
        if found is None:
            raise InvalidInput(
                "the azurekms URI cannot be read", hint="azurekms://VAULT.vault.azure.net/keys/NAME/VERSION"
            )
        where: tuple[str, ...] = (found[1], found[2])
    else:
        where = (rest.partition("/")[0] if scheme == "hv" else rest,)
    if not rest or (scheme == "hv" and not re.fullmatch(r"[^/]+/[0-9]+", rest)):
        raise InvalidInput(f"{uri!r} names no key", hint="hv:NAME/VERSION" if scheme == "hv" else f"{scheme}:KEY")
    _uri, public = _asked(scheme, lambda: kind.import_(*where))
    return DeviceKey(scheme, _asked(scheme, lambda: kind.from_priv_key_uri(uri, public)), _pem_of(public))


def _library(scheme: str) -> Any:
    try:
        import securesystemslib.signer as signers
    except ModuleNotFoundError:
        raise _missing(scheme) from None
    return signers


def _missing(scheme: str) -> Unavailable:
    part = _PARTS.get(scheme, scheme)
    package = "custody[hsm]" if part == "hsm" else f"securesystemslib[{part}]"
    return Unavailable(f"the library that reaches {scheme} keys is not installed", hint=f"pip install '{package}'")


def _pem_of(public: Any) -> str:
    """Return the public key; anything but P-256 is refused by whoever takes its key id."""
    pem = public.keyval["public"]
    if not isinstance(pem, str):
        raise InvalidInput("the device gave no public key in PEM")
    return pem


def _pin(environment: Mapping[str, str]) -> Callable[[str], str]:
    def ask(secret: str) -> str:
        if given := environment.get("CUSTODY_PIN"):
            return given
        if not sys.stdin.isatty():
            raise NotPermitted(f"the token asks for its {secret}", hint="set CUSTODY_PIN, or act on a terminal")
        import getpass

        return getpass.getpass(f"{secret} of the token: ")

    return ask


def _asked(scheme: str, call: Callable[[], Any]) -> Any:
    """Ask a device or service; whatever it raises becomes one of our errors. Its libraries raise of every kind."""
    from securesystemslib.exceptions import UnsupportedLibraryError

    try:
        return call()
    except (InvalidInput, NotFound, NotPermitted, Tampered, Unavailable):
        raise
    except UnsupportedLibraryError:
        raise _missing(scheme) from None
    except Exception as error:  # noqa: BLE001 - drivers and cloud libraries document no closed set of errors
        raise _told(error) from None


def _told(error: BaseException) -> InvalidInput | NotFound | NotPermitted | Unavailable:
    kinds = {type(one).__name__ for one in (error, error.__context__, error.__cause__) if one is not None}
    text = f"{type(error).__name__}: {error}".rstrip(": ")[:300]
    if kinds & {"PinIncorrect", "PinInvalid", "PinLenRange"}:
        return NotPermitted("the token does not accept this PIN", hint="a few wrong ones lock it; mind CUSTODY_PIN")
    if kinds & {"PinLocked", "PinExpired"}:
        return NotPermitted("the token's PIN is locked or expired", hint="its security officer sets a new one")
    if kinds & {"NoSuchToken", "TokenNotPresent", "TokenNotRecognised", "DeviceRemoved"}:
        return Unavailable("the token is not there", hint="insert it, and look at the label in custody.toml [keys]")
    if "MultipleTokensReturned" in kinds:
        return InvalidInput("more than one token fits", hint="name it: pkcs11:token=LABEL;id=%02")
    if kinds & {"NoSuchKey", "MultipleObjectsReturned"} or "could not find" in text or "No keys found" in text:
        return NotFound(f"the token has no single P-256 key under this id ({error})", hint="pkcs11:token=LABEL;id=%02")
    if "curve" in text.lower() or "UnsupportedKeyType" in kinds or "UnsupportedAlgorithmError" in kinds:
        return InvalidInput(f"this is not an ECDSA P-256 key ({text})", hint="make one of that kind in the device")
    return Unavailable(f"the key's device or service did not answer ({text})", hint="try again when it is reachable")
