"""Reading `criteria.toml`: a closed vocabulary, linted with line numbers.

TOML is typed and refuses duplicate keys; what it still lets through (NaN, unknown keys, bounds that
everything satisfies, measures nobody takes) is refused here. Every defect carries the line to mend.
"""

from __future__ import annotations

import difflib
import hashlib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from custody.core import strictjson
from custody.given import read_toml

MAX_CRITERIA_BYTES = 256 * 1024
CLASSES = ("performance", "fairness", "robustness", "security", "data", "compliance")
TIERS = ("low", "medium", "high")
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,31}\Z")
_TOP: Mapping[str, tuple[type, ...]] = {
    "custody": (str,),
    "use_case": (str,),
    "tier": (str,),
    "confidence": (float,),
    "max_openings": (int,),
    "max_attempts": (int,),
    "held_out": (dict,),
    "criterion": (list,),
    "not_applicable": (dict,),
}
_ITEM: Mapping[str, tuple[type, ...]] = {
    "id": (str,),
    "class": (str,),
    "measure": (str,),
    "at_least": (int, float),
    "at_most": (int, float),
    "by": (list,),
    "depth": (int,),
    "at": (dict,),
    "on": (str,),
    "why": (str,),
    "waivable": (bool,),
}


class MeasureScale(Protocol):
    """What the linter must know of a measure; the check registry provides it."""

    @property
    def lowest(self) -> float:
        """Return the smallest value the measure can take."""

    @property
    def highest(self) -> float:
        """Return the largest value the measure can take."""

    @property
    def better(self) -> str:
        """Return "higher" or "lower"."""

    @property
    def at(self) -> tuple[str, ...]:
        """Return the keys a criterion must give."""


@dataclass(frozen=True, order=True)
class Defect:
    """One thing wrong with a criteria file, and the line where it stands."""

    line: int
    kind: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message} ({self.kind})"


@dataclass(frozen=True)
class Criteria:
    """A criteria file that was read: the document with defaults filled in, and its defects."""

    document: Mapping[str, Any]
    defects: Sequence[Defect]
    lines: Mapping[str, int]
    """Line of each criterion by its id."""

    @property
    def sha256(self) -> str:
        """Return the digest of the expanded document, in canonical JSON."""
        return hashlib.sha256(strictjson.dump(self.document)).hexdigest()


def read_criteria(
    raw: bytes,
    vocabulary: Mapping[str, MeasureScale],
    required: Iterable[str] = ("performance", "fairness", "security"),
) -> Criteria:
    """Parse and lint; never raises for bad content: the defects say what is wrong."""
    if len(raw) > MAX_CRITERIA_BYTES:
        return _broken("size", f"the file is {len(raw)} bytes long; the limit is {MAX_CRITERIA_BYTES}")
    if raw.startswith(b"\xef\xbb\xbf"):
        return _broken("encoding", "the file starts with a byte-order mark")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        return _broken("encoding", f"byte {error.start} is not UTF-8", line)
    if not text.strip():
        return _broken("empty", "the file is empty; a gate without criteria allows nothing")
    try:
        found = read_toml(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at line (\d+)", str(error))
        line = int(place.group(1)) if place else text.count("\n") + 1
        kind = "duplicate-key" if "overwrite" in str(error) or "twice" in str(error) else "syntax"
        return _broken(kind, str(error).split(" (at ")[0], line)
    except ValueError as error:  # a number with more digits than Python converts
        return _broken("syntax", str(error).split(";")[0])
    except RecursionError:
        return _broken("syntax", "the file is nested too deeply")
    return _Linter(found, _Lines(text), vocabulary, tuple(required)).run()


def _broken(kind: str, message: str, line: int = 1) -> Criteria:
    return Criteria({}, (Defect(line, kind, message),), {})


class _Lines:
    """Where each key stands: TOML readers do not tell, so the text is walked once."""

    def __init__(self, text: str) -> None:
        self.top: dict[str, int] = {}
        self.items: list[dict[str, int]] = []
        table = ""
        for number, line in enumerate(text.split("\n"), 1):  # TOML knows no other end of a line
            stripped = line.strip()
            header = re.match(r"\[\[?\s*([A-Za-z0-9_.\"' -]+?)\s*\]\]?", stripped)
            if header and stripped.startswith("["):
                table = header.group(1).strip("\"' ")
                if stripped.startswith("[[") and table == "criterion":
                    self.items.append({"": number})
                else:
                    self.top.setdefault(table, number)
                continue
            key = re.match(r"([A-Za-z0-9_-]+|\"[^\"]*\")\s*(?:\.\s*[A-Za-z0-9_-]+\s*)?=", stripped)
            if not key:
                continue
            name = key.group(1).strip('"')
            if table == "criterion" or table.startswith("criterion."):
                if self.items:
                    self.items[-1].setdefault(name, number)
            else:
                self.top.setdefault(f"{table}.{name}" if table else name, number)

    def of(self, item: int, key: str = "") -> int:
        """Return the line of a criterion's key, or of its header."""
        if item >= len(self.items):
            return 1
        return self.items[item].get(key, self.items[item][""])


class _Linter:
    def __init__(
        self, found: Mapping[str, Any], lines: _Lines, vocabulary: Mapping[str, MeasureScale], required: Sequence[str]
    ) -> None:
        self.found, self.lines, self.vocabulary, self.required = found, lines, vocabulary, required
        self.defects: list[Defect] = []

    def run(self) -> Criteria:
        document = self._top()
        items: list[dict[str, Any]] = []
        places: dict[str, int] = {}
        written = self.found.get("criterion")
        for number, item in enumerate(written if isinstance(written, list) else []):
            if not isinstance(item, dict):
                self._say(self.lines.of(number), "type", "a criterion must be a table: write [[criterion]]")
                continue
            entry = self._item(number, item)
            name = str(entry.get("id", ""))
            if name in places:
                self._say(
                    self.lines.of(number, "id"),
                    "duplicate-id",
                    f"criterion {name!r} exists already, in line {places[name]}",
                )
            places.setdefault(name, self.lines.of(number))
            items.append(entry)
        if not items:
            self._say(1, "empty", "there is no [[criterion]]; a gate without criteria allows nothing")
        document["criterion"] = items
        self._contradictions(items)
        self._classes(items, document)
        try:
            strictjson.dump(document)
        except Exception as error:  # noqa: BLE001 - dates and other TOML types that JSON lacks
            self._say(1, "type", str(error))
            document = {}
        return Criteria(document, tuple(sorted(set(self.defects))), places)

    def _say(self, line: int, kind: str, message: str) -> None:
        self.defects.append(Defect(line, kind, message))

    def _line(self, key: str) -> int:
        return self.lines.top.get(key, 1)

    def _typed(self, where: Mapping[str, Any], key: str, kinds: tuple[type, ...], line: int) -> bool:
        value = where[key]
        right = isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds)
        if not right:
            wanted = " or ".join(_TYPE_NAMES[kind] for kind in kinds)
            self._say(line, "type", f"{key!r} is {_TYPE_NAMES.get(type(value), type(value).__name__)}, not {wanted}")
        return right

    def _unknown(self, key: str, known: Iterable[str], line: int, where: str) -> None:
        near = difflib.get_close_matches(key, list(known), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        self._say(line, "unknown-key", f"{key!r} is not a key of {where}{hint}")

    def _top(self) -> dict[str, Any]:
        document: dict[str, Any] = {"confidence": 0.95, "max_openings": 20, "max_attempts": 20, "not_applicable": {}}
        for key, value in self.found.items():
            if key not in _TOP:
                self._unknown(key, _TOP, self._line(key), "the file")
            elif self._typed(self.found, key, _TOP[key], self._line(key)) and key != "criterion":
                document[key] = value
        for key in ("custody", "use_case", "tier", "held_out"):
            if key not in self.found:
                self._say(1, "missing-key", f"{key!r} is missing")
        if document.get("custody", "criteria/1") != "criteria/1":
            self._say(
                self._line("custody"),
                "version",
                f'{document["custody"]!r} is not a version this Custody reads; write "criteria/1"',
            )
        if document.get("tier", "high") not in TIERS:
            self._say(self._line("tier"), "unknown-word", f"tier {document['tier']!r} is none of {', '.join(TIERS)}")
        if not 0.8 <= document["confidence"] < 1:
            self._say(self._line("confidence"), "range", f"confidence {document['confidence']} is not in [0.8, 1)")
        for key in ("max_openings", "max_attempts"):
            if not 1 <= document[key] <= 1000:
                self._say(self._line(key), "range", f"{key} {document[key]} is not in 1 to 1000")
        if not str(document.get("use_case", "x")).strip():
            self._say(self._line("use_case"), "missing-key", "'use_case' is blank")
        held_out = document.get("held_out", {})
        for key in held_out:
            if key != "dataset":
                self._unknown(key, ["dataset"], self._line(f"held_out.{key}"), "[held_out]")
        if "held_out" in document and not (isinstance(held_out.get("dataset"), str) and held_out["dataset"]):
            self._say(
                self._line("held_out"), "missing-key", '[held_out] needs dataset = "name of a registered dataset"'
            )
        return document

    def _item(self, number: int, item: Mapping[str, Any]) -> dict[str, Any]:
        of = self.lines.of
        entry: dict[str, Any] = {"on": "model", "waivable": True}
        for key, value in item.items():
            if key not in _ITEM:
                self._unknown(key, _ITEM, of(number, key), "a criterion")
            elif self._typed(item, key, _ITEM[key], of(number, key)):
                entry[key] = value
        for key in ("id", "class", "measure", "why"):
            if key not in item:
                self._say(of(number), "missing-key", f"{key!r} is missing")
            elif key in entry and not entry[key].strip():
                self._say(of(number, key), "vague", f"{key!r} is blank")
        if "id" in entry and not _ID.match(entry["id"]):
            self._say(of(number, "id"), "id", f"id {entry['id']!r} must be a short word")
        if entry.get("class", CLASSES[0]) not in CLASSES:
            self._say(of(number, "class"), "unknown-word", f"class {entry['class']!r} is none of {', '.join(CLASSES)}")
        if entry["on"] not in ("model", "training_data"):
            self._say(of(number, "on"), "unknown-word", f"on {entry['on']!r} is neither 'model' nor 'training_data'")
        for key in ("at_least", "at_most"):
            if isinstance(entry.get(key), int):
                entry[key] = _float(entry[key])
        self._bounds(number, entry)
        self._measure(number, entry)
        for key in ("at_least", "at_most"):
            if key in entry and not math.isfinite(entry[key]):
                entry[key] = None
        return entry

    def _bounds(self, number: int, entry: Mapping[str, Any]) -> None:
        of = self.lines.of
        bounds = [key for key in ("at_least", "at_most") if key in entry]
        if not bounds:
            self._say(of(number), "vague", "there is no bound: give at_least or at_most")
        for key in bounds:
            if not math.isfinite(entry[key]):
                self._say(of(number, key), "not-a-number", f"{key} is {entry[key]}, which every or no value satisfies")
        if len(bounds) == 2 and entry["at_least"] > entry["at_most"]:
            self._say(
                of(number, "at_most"),
                "contradiction",
                f"nothing is at least {entry['at_least']} and at most {entry['at_most']}",
            )

    def _measure(self, number: int, entry: dict[str, Any]) -> None:
        of = self.lines.of
        name = entry.get("measure")
        if name is None:
            return
        scale = self.vocabulary.get(name)
        if scale is None:
            near = difflib.get_close_matches(name, list(self.vocabulary), n=3, cutoff=0.5)
            hint = f"; near: {', '.join(near)}" if near else ""
            self._say(of(number, "measure"), "unknown-measure", f"no check measures {name!r}{hint}")
            return
        for key in ("at_least", "at_most"):
            bound = entry.get(key)
            if bound is None or not math.isfinite(bound):
                continue
            if not scale.lowest <= bound <= scale.highest:
                self._say(
                    of(number, key),
                    "range",
                    f"{key} {bound:g} is outside the measure's range, {scale.lowest:g} to {scale.highest:g}",
                )
            elif (key == "at_least" and bound == scale.lowest) or (key == "at_most" and bound == scale.highest):
                self._say(of(number, key), "vacuous", f"{key} {bound:g} is satisfied by every model")
        wrong = "at_most" if scale.better == "higher" else "at_least"
        if wrong in entry and len({"at_least", "at_most"} & set(entry)) == 1:
            self._say(
                of(number, wrong),
                "direction",
                f"{scale.better} is better for {name}, so {wrong} alone promises nothing",
            )
        self._place(number, entry, scale)

    def _place(self, number: int, entry: dict[str, Any], scale: MeasureScale) -> None:
        of = self.lines.of
        if "by" in scale.at:
            by = entry.get("by")
            if not by or not all(isinstance(column, str) and column for column in by):
                self._say(of(number, "by"), "missing-key", f'{entry["measure"]} needs by = ["column", ...]')
                return
            if len(set(by)) != len(by):
                self._say(of(number, "by"), "duplicate-key", "'by' names a column twice")
            entry["by"] = sorted(set(by))
            entry.setdefault("depth", min(2, len(entry["by"])))
            if not 1 <= entry["depth"] <= min(3, len(entry["by"])):
                self._say(
                    of(number, "depth"), "range", f"depth {entry['depth']} is not in 1 to {min(3, len(entry['by']))}"
                )
                entry["depth"] = 1
            return
        for key in ("by", "depth"):
            if key in entry:
                self._say(of(number, key), "unknown-key", f"{entry['measure']} is not taken by group")
        given = set(entry.get("at", {}))
        if given != set(scale.at):
            wanted = "{ " + ", ".join(f"{key} = ..." for key in scale.at) + " }" if scale.at else "no 'at'"
            self._say(
                of(number, "at"), "missing-key", f"{entry['measure']} needs {'at = ' if scale.at else ''}{wanted}"
            )
        for key, value in entry.get("at", {}).items():
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                self._say(of(number, "at"), "type", f"at.{key} must be text or a number")

    def _contradictions(self, items: Sequence[Mapping[str, Any]]) -> None:
        seen: dict[str, tuple[int, Mapping[str, Any]]] = {}
        for number, item in enumerate(items):
            key = str((item.get("measure"), item.get("by"), item.get("depth"), item.get("at"), item["on"]))
            if key not in seen:
                seen[key] = (number, item)
                continue
            other = seen[key][1]
            lower = max(_or(item.get("at_least"), -math.inf), _or(other.get("at_least"), -math.inf))
            upper = min(_or(item.get("at_most"), math.inf), _or(other.get("at_most"), math.inf))
            kind = "contradiction" if lower > upper else "redundant"
            self._say(self.lines.of(number), kind, f"criterion {other.get('id')!r} asks about the same measure")

    def _classes(self, items: Sequence[Mapping[str, Any]], document: Mapping[str, Any]) -> None:
        present = {item.get("class") for item in items}
        excused = document.get("not_applicable", {})
        for klass, reason in excused.items() if isinstance(excused, dict) else ():
            line = self._line(f"not_applicable.{klass}")
            if klass not in CLASSES:
                self._unknown(klass, CLASSES, line, "[not_applicable]")
            elif not isinstance(reason, str) or len(reason.strip()) < 20:
                self._say(line, "vague", f"say in a sentence why {klass} does not apply")
            elif document.get("tier") == "high":
                self._say(line, "missing-class", f"tier high cannot leave out {klass}")
        for klass in self.required:
            if klass not in present and klass not in excused:
                self._say(1, "missing-class", f"the policy requires at least one criterion of class {klass!r}")


_TYPE_NAMES: Mapping[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a decimal number",
    bool: "true or false",
    dict: "a table",
    list: "a list",
}


def _float(whole: int) -> float:
    """Turn a whole number into a float; one that no float can hold becomes infinite, which is a defect."""
    try:
        return float(whole)
    except OverflowError:
        return math.inf if whole > 0 else -math.inf


def _or(value: float | None, other: float) -> float:
    return other if value is None else value
