"""Text is inert until something interprets it: here is what loaders of models interpret.

JSON configurations that name code to fetch or run (Hugging Face `auto_map`, Keras Lambda layers, skops nodes),
YAML that makes Python objects, XML entities, chat templates that reach into Python, notebooks, scripts, source.
"""

from __future__ import annotations

import re
from typing import Any

from custody.checks.artifact._allowlist import danger, uses
from custody.checks.artifact._source import Source
from custody.checks.artifact._survey import Survey
from custody.core import strictjson
from custody.errors import InvalidInput

_PIECE = 4 * 1024**2
_OVERLAP = 512
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")

_YAML = re.compile(r"!!python/|!<tag:yaml\.org,2002:python/|%TAG\s+!\S*\s+tag:yaml\.org,2002:python")
_ENTITY = re.compile(r"<!ENTITY\s")
_TEMPLATE = re.compile(
    r"__(?:class|globals|subclasses|mro|base|bases|builtins|import|init|getattribute|dict|code)__"
    r"|\bpopen\b|attr\s*\(\s*['\"]_|\[\s*['\"]__|\\x5f"
)
_PYTHON = re.compile(
    r"^(?:from [\w.]+ import |import [\w.]+(?: as \w+)?\s*$|def \w+\(.*|class \w+[(:].*)", re.MULTILINE
)


def is_text(head: bytes) -> bool:
    """Return whether the first bytes look like text in UTF-8, UTF-16 or an eight-bit encoding."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return True
    if _CONTROL.search(head):
        return False
    high = sum(byte >= 0x80 for byte in head)
    if not high:
        return True
    try:
        head[: -3 if len(head) > 3 else None].decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(head) - 8 or 10 * high < 3 * len(head)
    return True


def read_text(survey: Survey, source: Source, where: str, _depth: int) -> None:
    """Look for what a loader would interpret."""
    head = source.read(0, 64).lstrip(b"\xef\xbb\xbf \t\r\n")
    if head[:1] in (b"{", b"["):
        if source.size > survey.limits.whole_bytes:
            survey.unread(where, f"JSON of {source.size} bytes is longer than is read whole")
            return
        if _json(survey, source.read(0, source.size), where):
            return
    if head[:2] == b"#!":
        survey.warn(where, "script", "It starts with an interpreter's name; nothing a model is read from needs one.")
    notes: set[str] = set()
    at = 0
    while at < source.size:
        survey.tick()
        text = _decode(source.read(at, _PIECE + _OVERLAP))
        if text is None:
            survey.unread(where, f"text turns into something else near byte {at}")
            return
        _markers(survey, text, where, notes)
        at += _PIECE


def _decode(raw: bytes) -> str | None:
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", "replace")
    if _CONTROL.search(raw):
        return None
    return raw.decode("utf-8", "replace")


def _markers(survey: Survey, text: str, where: str, notes: set[str]) -> None:
    if _YAML.search(text):
        survey.critical(where, "YAML makes Python objects", "The tag python/ calls what it names on loading.")
    if _ENTITY.search(text):
        survey.critical(where, "XML declares entities", "They can read other files or fill the memory.")
    judge_template(survey, text, where)
    if "python" not in notes and (where.endswith((".py", ".pyw")) or len(_PYTHON.findall(text)) >= 3):
        notes.add("python")
        survey.warn(
            where,
            "Python source beside the model",
            "A loader that trusts remote code, or an import by the model's pickle, would run it.",
            "Review it, or remove it from the artifact.",
        )


def judge_template(survey: Survey, text: str, where: str) -> None:
    """Report a Jinja template (chat templates are rendered by the loader) that reaches into Python."""
    if ("{{" in text or "{%" in text) and (match := _TEMPLATE.search(text)):
        survey.critical(where, "template reaches into Python", f"{match[0]!r} leads from a template to running code.")


def _json(survey: Survey, raw: bytes, where: str) -> bool:
    """Judge a JSON document; return False when it is none, so that it is judged as text."""
    try:
        value = strictjson.parse(raw, what="the file")
    except InvalidInput as error:
        if "appears twice" in error.message:
            survey.warn(where, f"JSON has two readings: {error.message}", "Readers differ in which value they take.")
        elif "nested" in error.message:
            survey.critical(where, "JSON is nested too deeply", "Readers without a limit crash.")
        return False
    stack: list[Any] = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            _judge(survey, item, where)
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, str) and "{" in item:
            judge_template(survey, item, where)
    return True


def _judge(survey: Survey, item: dict[str, Any], where: str) -> None:
    remote = item.get("auto_map") or item.get("custom_pipelines")
    if remote:
        survey.critical(
            where,
            "configuration names code to import with the model (auto_map)",
            f"A loader that trusts remote code runs it: {str(remote)[:200]}",
            "Use a model whose architecture is part of the library.",
        )
    if item.get("trust_remote_code") is True:
        survey.critical(
            where, "configuration asks to trust remote code", "Loading would run code from the model's author."
        )
    name = item.get("class_name")
    if name in ("Lambda", "__lambda__") or item.get("function_type") == "lambda":
        survey.critical(
            where, "Keras Lambda: Python bytecode inside the model", "It runs when the model is loaded or called."
        )
    module = item.get("module")
    if isinstance(name, str) and isinstance(module, str) and "config" in item:
        if module.split(".")[0] not in (
            "keras",
            "tensorflow",
            "builtins",
            "keras_nlp",
            "keras_hub",
            "keras_cv",
            "tf_keras",
        ):
            survey.critical(where, f"Keras object from {module}.{name}", "Loading imports that module.")
        elif module == "builtins" and item.get("class_name") == "function":
            survey.critical(where, f"Keras refers to the function {item.get('config')}", "Loading resolves it by name.")
    if "__class__" in item and "__module__" in item and "__loader__" in item:
        found, cls = str(item["__module__"]), str(item["__class__"])
        if not uses(found, cls) and (found, cls) not in _SKOPS_PLAIN:
            survey.critical(where, f"skops file names {found}.{cls}", danger(found, cls))
    if "nbformat" in item and isinstance(item.get("cells"), list):
        survey.warn(where, "notebook", "It holds code cells; nothing a model is read from needs them.")


_SKOPS_PLAIN = {
    ("builtins", name) for name in ("dict", "list", "tuple", "set", "str", "int", "float", "bool", "NoneType", "bytes")
}
