"""Where things are. `custody.toml` in the project folder says it; gates say what must hold."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custody.errors import InvalidInput, NotFound

FILE = "custody.toml"
FOLDER = ".custody"
_KEYS: Mapping[str, tuple[str, ...]] = {
    "": ("use_case", "actor"),
    "trust": ("origin", "log_key", "owner_key"),
}


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
        found = tomllib.loads(path.read_bytes().decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8 at byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from None
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}") from None
    values: dict[str, str] = {}
    for table, keys in _KEYS.items():
        part: Any = found if not table else found.pop(table, {})
        if not isinstance(part, dict):
            raise InvalidInput(f"{path}: {table!r} must be a table")
        for key in [key for key in part if key not in keys and (table or not key or key not in _KEYS)]:
            raise InvalidInput(f"{path}: {key!r} is not a setting", hint=f"known: {', '.join(keys)}")
        for key in keys:
            value = part.get(key, "")
            if not isinstance(value, str) or (not value and key != "actor"):
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
    )


def state_folder(environment: Mapping[str, str]) -> Path:
    """Return where this client keeps what it remembers, apart from any project."""
    if given := environment.get("CUSTODY_STATE"):
        return Path(given)
    base = environment.get("XDG_STATE_HOME") or str(Path(environment.get("HOME", "/tmp")) / ".local" / "state")  # noqa: S108
    return Path(base) / "custody"
