"""Where things are. `custody.toml` in the project folder says it; gates say what must hold."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from custody.errors import InvalidInput, NotFound
from custody.given import read_given, read_toml

FILE = "custody.toml"
FOLDER = ".custody"
_MAX_BYTES = 256 * 1024
_KEYS: Mapping[str, tuple[str, ...]] = {
    "": ("use_case", "actor"),
    "trust": ("origin", "log_key", "owner_key"),
    "vault": ("root",),
    "ledger": ("url",),
}
_OUTSIDE = ("urls", "tsa", "tsa_roots")
"""The settings of the table [witness], all of them optional."""
_OPTIONAL = frozenset({"actor", "root", "url"})


@dataclass(frozen=True)
class Config:
    """One project: its use case, its folder, and the trust root its ledger is held against.

    `log_key` is the log's raw Ed25519 public key in base64, `owner_key` the keyid of the person who
    enrols others. Both stand in the project's own file, outside the ledger, and belong under version
    control: whoever replaces the ledger cannot replace them unseen.
    """

    root: Path
    use_case: str
    actor: str
    origin: str
    log_key: str
    owner_key: str
    state: Path
    passphrase: str
    own_keys: Path | None = None
    """A folder of the user's own, with private keys that are in no project; from CUSTODY_KEYS."""
    witness_urls: tuple[str, ...] = ()
    """Where witnesses of this ledger are asked; whom to believe stands in the trust root, not here."""
    tsa_urls: tuple[str, ...] = ()
    """Time-stamping authorities to ask (RFC 3161)."""
    tsa_roots: Path | None = None
    """Certificates (PEM) under which time stamps are believed; without them none is."""
    ledger_url: str = ""
    """The database that holds the ledger, as postgresql://HOST/NAME without a password; empty for a local file."""
    root_key: str = ""
    """Where the vault's root key is, as `file:PATH`; empty for the folder of private keys."""
    signers: Mapping[str, str] = field(default_factory=dict)
    """Where the private keys of named persons are kept when it is not a file of their name: a URI each."""

    @property
    def folder(self) -> Path:
        """Return the store's folder."""
        return self.root / FOLDER

    @property
    def ledger(self) -> Path:
        """Return the ledger's file."""
        return self.folder / "ledger.db"

    @property
    def keys(self) -> Path:
        """Return the folder of private keys."""
        return self.folder / "keys"

    @property
    def vault(self) -> Path:
        """Return the folder of encrypted models."""
        return self.folder / "vault"

    @property
    def vault_key(self) -> Path:
        """Return the file of the vault's root key: never in the vault's own folder.

        Raises `InvalidInput` for another kind of place, or for one inside the vault.
        """
        if not self.root_key:
            return self.keys / "vault.key"
        kind, _, name = self.root_key.partition(":")
        if kind != "file" or not name:
            raise InvalidInput(
                f"{FILE}: [vault] root = {self.root_key!r} is not a place for a root key", hint='root = "file:PATH"'
            )
        path = (self.root / Path(name).expanduser()).resolve()
        if path.is_relative_to(self.vault.resolve()):
            raise InvalidInput(f"{FILE}: the root key may not lie in the vault it opens", hint="name a place outside")
        return path

    @property
    def runs(self) -> Path:
        """Return the folder of run logs."""
        return self.folder / "runs"

    @property
    def staging(self) -> Path:
        """Return the folder for private copies that live as long as one command."""
        return self.folder / "staging"

    @property
    def predictions(self) -> Path:
        """Return the folder of prediction logs."""
        return self.folder / "predictions"


def find_config(start: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Read the `custody.toml` of `start` or the nearest folder above it."""
    for folder in (start.resolve(), *start.resolve().parents):
        path = folder / FILE
        if path.is_file():
            return read_config(path, environment)
    raise NotFound(f"there is no {FILE} in {start} or above it", hint="begin with: custody init USE_CASE")


def read_config(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Read one `custody.toml`; unknown keys are refused."""
    try:
        found = read_toml(read_given(path, _MAX_BYTES).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8 at byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from None
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}") from None
    signers = found.pop("keys", {})
    if not isinstance(signers, dict) or not all(isinstance(uri, str) and ":" in uri for uri in signers.values()):
        raise InvalidInput(f"{path}: [keys] must give a URI for each name", hint='olga = "pkcs11:token=bank;id=%02"')
    values: dict[str, str] = {}
    outside = _read_outside(path, found.pop("witness", {}))
    for table, keys in _KEYS.items():
        part: Any = found if not table else found.pop(table, {})
        if not isinstance(part, dict):
            raise InvalidInput(f"{path}: {table!r} must be a table")
        for key in [key for key in part if key not in keys and (table or not key or key not in _KEYS)]:
            raise InvalidInput(f"{path}: {key!r} is not a setting", hint=f"known: {', '.join(keys)}")
        for key in keys:
            value = part.get(key, "")
            if not isinstance(value, str) or (not value and key not in _OPTIONAL):
                raise InvalidInput(f"{path}: {key!r} must be given, as text")
            values[key] = value
    return Config(
        root=path.parent,
        use_case=values["use_case"],
        actor=environment.get("CUSTODY_ACTOR", "") or values["actor"],
        origin=values["origin"],
        log_key=values["log_key"],
        owner_key=values["owner_key"],
        state=state_folder(environment),
        passphrase=environment.get("CUSTODY_PASSPHRASE", ""),
        own_keys=Path(environment["CUSTODY_KEYS"]) if environment.get("CUSTODY_KEYS") else None,
        witness_urls=outside[0],
        tsa_urls=outside[1],
        tsa_roots=outside[2],
        root_key=values["root"],
        ledger_url=values["url"],
        signers=signers,
    )


def _read_outside(path: Path, part: Any) -> tuple[tuple[str, ...], tuple[str, ...], Path | None]:
    """Read the table [witness]: lists of URLs, and a file of certificates beside `custody.toml`."""
    if not isinstance(part, dict):
        raise InvalidInput(f"{path}: 'witness' must be a table")
    if unknown := [key for key in part if key not in _OUTSIDE]:
        raise InvalidInput(f"{path}: {unknown[0]!r} is not a setting", hint=f"known: {', '.join(_OUTSIDE)}")
    lists = []
    for key in _OUTSIDE[:2]:
        value = part.get(key, [])
        if not isinstance(value, list) or not all(isinstance(url, str) and url for url in value):
            raise InvalidInput(f"{path}: {key!r} must be a list of URLs")
        lists.append(tuple(value))
    roots = part.get("tsa_roots", "")
    if not isinstance(roots, str):
        raise InvalidInput(f"{path}: 'tsa_roots' must be the name of a file")
    return lists[0], lists[1], path.parent / roots if roots else None


def witness_folder(environment: Mapping[str, str]) -> Path:
    """Return where a witness of this user keeps its key and what it signed: CUSTODY_WITNESS, or the user's data."""
    if given := environment.get("CUSTODY_WITNESS"):
        return Path(given)
    base = environment.get("XDG_DATA_HOME") or str(Path(environment.get("HOME", "/tmp")) / ".local" / "share")  # noqa: S108
    return Path(base) / "custody-witness"


def state_folder(environment: Mapping[str, str]) -> Path:
    """Return where this client keeps what it remembers, apart from any project."""
    if given := environment.get("CUSTODY_STATE"):
        return Path(given)
    base = environment.get("XDG_STATE_HOME") or str(Path(environment.get("HOME", "/tmp")) / ".local" / "state")  # noqa: S108
    return Path(base) / "custody"
