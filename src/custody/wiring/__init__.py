"""Configuration in, a working Custody out. The only module that names adapters."""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custody.checks.target import Columns, Predictor, Table
from custody.config import FILE, FOLDER, Config, find_config, read_config, state_folder
from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.actor import Role
from custody.core.permission import Rules
from custody.core.strictjson import b64decode
from custody.core.subject import Subject, use_case_subject
from custody.desk import CUSTODIAN, Desk, begin, check_name, now
from custody.errors import InvalidInput, Unavailable
from custody.gates import policy_of
from custody.given import read_given
from custody.ledger.trust import RootChain, Trust
from custody.seal.keys import LogKey, PersonKey, Signer, raw_to_text
from custody.seal.request import MAX_REQUEST_BYTES, read_request
from custody.seal.ring import LogRing, log_key_files
from custody.stages.access import read_rules, rules_of
from custody.stages.people import enrol
from custody.wiring.rows import check_address, open_store

if TYPE_CHECKING:
    from custody.adapters.key_files import KeyFiles
    from custody.adapters.memory import ForgivingMemory
    from custody.adapters.witness_book import FileBook
    from custody.adapters.witness_server import WitnessServer
    from custody.core.evidence import Evidence
    from custody.core.sandbox import Sandbox
    from custody.ledger.witness import Witness
    from custody.records.freshness import Freshness
    from custody.records.vault import ModelVault
    from custody.stages.anchoring import Panel
    from custody.stages.runtime import PredictionLog
    from custody.stages.validation import Bench
    from custody.wiring.rows import Derived
    from custody.workshop import Workshop

ANSWER_SECONDS = 600.0
"""How long a model may take for one answer, unless the command says otherwise."""


class Custody:
    """One project under custody: its desk, its vault, its sandbox. Everything heavy is made when first used."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._forgiving: ForgivingMemory | None = None

    @cached_property
    def desk(self) -> Desk:
        """Return the desk over this project's ledger."""
        from custody.adapters.memory import FileMemory, ForgivingMemory
        from custody.ledger.log import Log

        config = self.config
        public = _first_log_key(config)
        chain = RootChain(self.trust)
        key = LogRing(config.keys, config.passphrase, lambda: chain.log_key) if log_key_files(config.keys) else None
        store = open_store(config.ledger, config.ledger_url, config.origin)
        memory = FileMemory(config.state)
        if store.read_only:
            memory = self._forgiving = ForgivingMemory(config.state)
        log = Log(store, memory, config.origin, public, key, chain)
        return Desk(log, config.owner_key, self.signer, rules=self.rules)

    @property
    def trust(self) -> Trust:
        """Return version 1 of the trust root, as `custody.toml` gives it."""
        return Trust(self.config.origin, self.config.log_key, self.config.owner_key)

    @property
    def not_remembered(self) -> bool:
        """Tell whether what was read could not be remembered, because everything here is read-only."""
        return self._forgiving is not None and self._forgiving.forgot

    def rules(self, file: Path | None = None) -> Rules:
        """Return the access policies in force, or those that `file` would bring; Cedar has checked them."""
        from custody.adapters.cedar import check

        return read_rules(file, check) if file else rules_of(self.config.root, check)

    def desk_under(self, log_key: LogKey) -> Desk:
        """Return a desk whose next checkpoint is signed by `log_key`: for the entry that puts that key in force."""
        from custody.adapters.memory import FileMemory
        from custody.ledger.log import Log

        config, chain = self.config, RootChain(self.trust)
        public = _first_log_key(config)
        store = open_store(config.ledger, config.ledger_url, config.origin)
        log = Log(store, FileMemory(config.state), config.origin, public, log_key, chain)
        return Desk(log, config.owner_key, self.signer, rules=self.rules)

    def log_key(self, public: str) -> LogKey:
        """Return the log's private key to a public one (base64); raises `NotPermitted` when it is not here."""
        return LogRing(self.config.keys, self.config.passphrase, lambda: b64decode(public, what="log key")).key()

    def signer(self, name: str) -> Signer:
        """Return what signs for somebody: where `custody.toml` says, else a file of their own, else of the project."""
        uri = self.config.signers.get(name)
        if uri is not None:
            from custody.adapters.signers import open_signer

            return open_signer(uri, self.config.root, {**os.environ, "CUSTODY_PASSPHRASE": self.config.passphrase})
        actor = self.desk.roster().actors.get(name)
        return self.key_files.load(name, actor.keyid if actor else "")

    @cached_property
    def key_files(self) -> KeyFiles:
        """Return where private keys lie as files."""
        from custody.adapters.key_files import KeyFiles

        return KeyFiles(self.config.keys, self.config.own_keys, self.config.passphrase)

    @cached_property
    def derived(self) -> Derived:
        """Return what is made from the ledger and lies beside it."""
        from custody.wiring.rows import Derived

        return Derived(self.desk.log, self.config.folder)

    @cached_property
    def vault(self) -> ModelVault:
        """Return the vault of encrypted models."""
        from custody.adapters.root_key import FileRoot
        from custody.adapters.vault import Vault

        return Vault(self.config.vault, FileRoot(self.config.vault_key, self.config.passphrase))

    @cached_property
    def sandbox(self) -> Sandbox:
        """Return the strongest sandbox this machine has."""
        return self._trial()

    @cached_property
    def _trial(self) -> Callable[[], Sandbox]:
        """Try the sandbox beside other work: the trial starts a process, and mostly waits for it."""
        from custody.adapters.bubblewrap import detect

        found: list[Sandbox] = []
        thread = threading.Thread(target=lambda: found.append(detect()), name="custody-sandbox", daemon=True)
        thread.start()

        def result() -> Sandbox:
            thread.join()
            return found[0] if found else detect()  # whatever stopped the trial is raised to who asks

        return result

    def workshop(self) -> Workshop:
        """Return where runs happen."""
        from custody.adapters.environment import capture_code, capture_environment
        from custody.workshop import Workshop

        config, trial = self.config, self._trial
        return Workshop(
            config.root,
            config.runs,
            config.staging,
            trial,
            self.vault,
            capture_code,
            capture_environment,
            (config.folder, config.state),
        )

    def bench(self, time_limit: float = ANSWER_SECONDS) -> Bench:
        """Return where models are measured; a model that takes longer than `time_limit` for an answer has none."""
        from custody.stages.validation import Bench

        config = self.config
        config.staging.mkdir(mode=0o700, parents=True, exist_ok=True)
        open_model = partial(self.open_model, time_limit=time_limit)
        kind = self.sandbox.describe().kind
        return Bench(config.root, config.staging, self.vault, self.read_table, open_model, kind)

    def read_table(self, path: Path, name: str, columns: Columns) -> Table:
        """Read a table; a missing library is named with the command that installs it."""
        try:
            from custody.adapters.tables import read_table

            return read_table(path, name, columns)
        except ModuleNotFoundError as error:
            raise Unavailable(f"{error.name} is not installed", hint="pip install 'custody[checks]'") from None

    @contextmanager
    def open_model(self, folder: Path, table: Table, time_limit: float = ANSWER_SECONDS) -> Iterator[Predictor]:
        """Open the model in `folder` behind a wall, for the features of `table`."""
        from custody.adapters.predictor import SandboxedPredictor

        positive = table.columns.positive
        with SandboxedPredictor(
            self.sandbox, folder, table.features, positive=positive, time_limit=time_limit
        ) as predictor:
            yield predictor

    def prediction_log(self, model: Subject, environment: str) -> PredictionLog:
        """Open a new segment of the prediction log."""
        from custody.stages.runtime import PredictionLog

        return PredictionLog(self.config.predictions, model, environment, self._commitment_key())

    def freshness(self) -> Freshness:
        """Return how fresh the ledger is, in one sentence: witnessed, consistent, or unproven."""
        from custody.records.freshness import freshness

        record = self.desk.read()
        return freshness(record, self.desk.reading, self.desk.time())

    def panel(self, urls: Sequence[str] = (), authorities: Sequence[str] = ()) -> Panel:
        """Return the outside eyes of this ledger: those named here, else those of `custody.toml`."""
        from custody.adapters.timestamps import HttpAuthority
        from custody.adapters.witness_client import HttpWitness
        from custody.records.freshness import eyes_of
        from custody.stages.anchoring import Panel

        asked = (*urls, *authorities)
        eyes = eyes_of(self.desk.read())
        return Panel(
            eyes.witnesses,
            eyes.quorum,
            [HttpWitness(url) for url in (urls if asked else self.config.witness_urls)],
            [HttpAuthority(url) for url in (authorities if asked else self.config.tsa_urls)],
        )

    def anchor(self) -> Evidence:
        """Anchor the newest checkpoint with the witnesses and authorities of `custody.toml`."""
        from custody.stages.anchoring import anchor

        return anchor(self.desk, self.panel()).entry

    @property
    def outside(self) -> Callable[[], Evidence] | None:
        """Return how to anchor, where `custody.toml` names a witness or an authority."""
        return self.anchor if self.config.witness_urls or self.config.tsa_urls else None

    def _commitment_key(self) -> bytes:
        path = self.config.keys / "commitments.key"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(32))
        except FileExistsError:
            pass
        except OSError as error:
            raise Unavailable(f"cannot write {path}: {error.strerror}") from None
        key = read_given(path, 32)
        if len(key) != 32:
            raise InvalidInput(f"{path} is damaged: it must hold 32 bytes")
        return key


def _first_log_key(config: Config) -> bytes:
    """Return the log's key of version 1 of the trust root."""
    public = b64decode(config.log_key, what=f"log_key in {FILE}")
    if len(public) != 32:
        raise InvalidInput(f"log_key in {FILE} is not an Ed25519 key: it has {len(public)} bytes, not 32")
    return public


def open_custody(start: Path | None = None, environment: Mapping[str, str] = os.environ) -> Custody:
    """Open the project of the current folder, or of `start`."""
    return Custody(find_config(start or Path.cwd(), environment))


def create(
    root: Path,
    use_case: str,
    owner: str,
    *,
    tier: str = "high",
    purpose: str = "",
    solo: bool = False,
    ledger: str = "",
    environment: Mapping[str, str] = os.environ,
) -> Custody:
    """Begin custody in `root`: keys, ledger, owner, custodian, and `custody.toml` as the last step.

    `solo` gives the owner every role; every report says so. `ledger` is the address of a PostgreSQL database,
    or empty for a local file. Raises `InvalidInput` when a project is there already.
    """
    from custody.adapters.memory import FileMemory
    from custody.ledger.log import Log

    if (root / FILE).exists():
        raise InvalidInput(f"{root / FILE} exists already", hint="custody status shows how it stands")
    if tier not in ("low", "medium", "high"):
        raise InvalidInput(f"tier {tier!r} is none of low, medium, high")
    if not use_case or not use_case.replace("-", "").replace("_", "").isalnum():
        raise InvalidInput(f"{use_case!r} is not a usable name; use letters, digits and dashes")
    check_name(owner)
    if ledger:
        check_address(ledger)
    folder = root / FOLDER
    if folder.exists():
        spare = folder.with_name(f"{FOLDER}.unfinished-{secrets.token_hex(3)}")
        folder.rename(spare)
    passphrase = environment.get("CUSTODY_PASSPHRASE", "")
    try:
        (folder / "keys").mkdir(mode=0o700, parents=True)
        folder.chmod(0o700)
    except OSError as error:
        raise Unavailable(f"cannot make {folder}: {error.strerror}", hint="choose a folder you can write to") from None
    log_key, owner_key, custodian = LogKey.generate(), PersonKey.generate(), PersonKey.generate()
    log_key.save(folder / "keys" / "log.pem", passphrase)
    owner_key.save(folder / "keys" / f"{owner}.pem", passphrase)
    custodian.save(folder / "keys" / f"{CUSTODIAN}.pem", passphrase)
    origin = f"custody.{use_case}.{secrets.token_hex(6)}"
    store = open_store(folder / "ledger.db", ledger, origin, create=True)
    log = Log(store, FileMemory(state_folder(environment)), origin, log_key.public, log_key)
    roles = frozenset(role for role in Role if role is not Role.CUSTODIAN) if solo else frozenset({Role.OWNER})
    begin(log, owner, owner_key.public, roles, owner_key, now().isoformat())
    store.close()
    half = root / f".{FILE}.part"
    half.write_text(
        f'use_case = "{use_case}"\nactor = "{owner}"\n\n'
        "# The trust root: whoever replaces the ledger cannot replace these unseen.\n"
        "# Keep this file under version control.\n"
        f'[trust]\norigin = "{origin}"\nlog_key = "{raw_to_text(log_key.public)}"\nowner_key = "{owner_key.keyid}"\n'
        + (f"\n[ledger]\nurl = {json.dumps(ledger)}\n" if ledger else ""),
        encoding="utf-8",
    )
    custody = Custody(read_config(half, environment))
    enrol(custody.desk, owner, CUSTODIAN, CUSTODIAN, frozenset({Role.CUSTODIAN}), custodian.public)
    pen = custody.desk.permit(owner, Action.ENROL)
    policy = policy_of(tier, solo=solo)
    said = {"use_case": use_case, "tier": tier, "purpose": purpose or use_case, "solo": solo, "policy": policy}
    pen.write(use_case_subject(use_case), kinds.USE_CASE, said)
    half.replace(root / FILE)
    return Custody(read_config(root / FILE, environment))


def add_person(
    custody: Custody,
    by: str,
    name: str,
    roles: Sequence[str],
    public_key: Path | None = None,
    sponsor: str = "",
) -> Any:
    """Enrol a person: with the public key they bring, or with a new key made on this machine.

    With `sponsor`, a service account that acts for that person, who is on record.
    """
    account = "service" if sponsor else ""
    try:
        wanted = frozenset(Role(role) for role in roles)
    except ValueError:
        raise InvalidInput(f"unknown role in {', '.join(roles)}", hint=f"roles: {', '.join(Role)}") from None
    check_name(name)
    known = custody.desk.roster().actors.get(name)
    person = known.person if known is not None else sponsor or name
    if public_key is not None:
        return enrol(custody.desk, by, name, person, wanted, brought_key(custody, name, public_key), account=account)
    if known is not None:
        return enrol(custody.desk, by, name, person, wanted, known.key, account=account)
    files = custody.key_files
    path = files.path(name)
    if not path.exists():
        custody.desk.permit(by, Action.ENROL)
        key, _ = files.make(name)
    elif (key := files.load(name)).keyid in custody.desk.roster().book.lost:
        custody.desk.permit(by, Action.ENROL)
        files.put_aside(name)
        key, _ = files.make(name)
    return enrol(custody.desk, by, name, person, wanted, key.public, account=account)


def brought_key(custody: Custody, name: str, file: Path) -> str:
    """Return the public key (PEM) in a file, or in a request with proof that its maker holds the private one."""
    try:
        raw = read_given(file, MAX_REQUEST_BYTES)
        text = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}") from None
    if text.lstrip().startswith("{"):
        return read_request(raw, custody.config.origin, name)
    return text


def witness_book(folder: Path) -> FileBook:
    """Return what is kept in a witness's folder."""
    from custody.adapters.witness_book import FileBook

    return FileBook(folder)


def witness_server(witness: Witness, host: str, port: int, say: Callable[[str], None]) -> WitnessServer:
    """Return a witness behind a port; `serve_forever` answers."""
    from custody.adapters.witness_server import WitnessServer

    return WitnessServer(witness, host, port, say)
