"""What is the model built from, and is any of it known to be vulnerable?

Advisories are read offline from a file in OSV form (ossf.github.io/osv-schema), because an empty or old feed says
nothing: without advisories, with none in the feed, or with a feed too old, `known_vulnerable` is unknown, never 0.
The bill of materials is CycloneDX 1.6 (ECMA-424), written by `to_cyclonedx`.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from custody.checks.artifact._versions import version_key
from custody.checks.registry import Example, Scale, check
from custody.checks.target import Target, Unmeasurable
from custody.core import strictjson
from custody.core.measure import Finding, Measure, Result
from custody.core.stage import Stage
from custody.core.subject import Subject
from custody.errors import InvalidInput
from custody.given import read_given

ADVISORIES = "advisories.json"
"""Name under which `Target.files` may hold the advisory feed."""
MAX_AGE_DAYS = 30

Package = tuple[str, str]

_KNOWN_NAMES = """
numpy scipy pandas polars scikit-learn joblib xgboost lightgbm catboost torch torchvision torchaudio
tensorflow keras transformers tokenizers datasets accelerate safetensors huggingface-hub onnx onnxruntime
matplotlib seaborn plotly requests urllib3 certifi charset-normalizer idna click rich pydantic fastapi
starlette uvicorn flask django jinja2 markupsafe werkzeug cryptography pyyaml python-dateutil setuptools
packaging pillow opencv-python nltk spacy gensim sentencepiece protobuf grpcio pyarrow sqlalchemy alembic
psycopg boto3 botocore mlflow dask distributed ray optuna statsmodels imbalanced-learn category-encoders
threadpoolctl cloudpickle typing-extensions tqdm pytest hypothesis fairlearn shap lime evidently langchain
openai anthropic sentence-transformers jupyter notebook ipython networkx sympy numba llvmlite cython attrs
jsonschema beautifulsoup4 lxml selenium playwright cffi pycparser custody
"""
_KNOWN = frozenset(_KNOWN_NAMES.split())
_REAL_NEIGHBOURS = frozenset({"dataset", "torchx", "dash", "pydantic-ai", "flash", "lime", "time", "ray", "rays"})
_MISNAMED = {"sklearn": "scikit-learn", "pytorch": "torch", "cv2": "opencv-python", "yaml": "pyyaml", "pil": "pillow"}
_LOOKS = str.maketrans({"0": "o", "1": "l", "i": "l", "5": "s"})


def normal(name: str) -> str:
    """Return a package name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def inspect_packages(
    packages: Sequence[Package],
    *,
    advisories: Path | None = None,
    today: date | None = None,
    max_age_days: int = MAX_AGE_DAYS,
) -> Result:
    """List packages, what is wrong with the list, and what is known against them.

    Raises `Unmeasurable` when the list is empty. `today` (UTC) is taken from the clock when it is not given.
    """
    if not packages:
        raise Unmeasurable("no packages were given")
    count = len(packages)
    findings = list(_list_findings(packages))
    unpinned = [name for name, version in packages if version_key(version) is None]
    vulnerable, reason, found = _vulnerable(packages, advisories, today or datetime.now(UTC).date(), max_age_days)
    measures = [Measure.exact("packages", count, count), Measure.exact("unpinned", len(unpinned), count)]
    if vulnerable is None:
        measures.append(Measure.unknown("known_vulnerable", reason, n=count))
    else:
        measures.append(Measure.exact("known_vulnerable", vulnerable, count))
    table = [{"name": name, "version": version} for name, version in sorted(packages)]
    return Result(measures, [*found, *findings], {"packages": table})


def _list_findings(packages: Sequence[Package]) -> Iterable[Finding]:
    times = Counter(normal(name) for name, _ in packages)
    for name, version in packages:
        if version_key(version) is None:
            yield Finding(
                "warning",
                f"{name} is not pinned to one version ({version or 'no version'})",
                name,
                "The next installation may bring other code than the one that was trained and judged.",
                "Name the exact version, and its hash, in the lock file.",
            )
        likeness = look_alike(name)
        if likeness:
            yield Finding(
                "warning",
                f"{name} looks like {likeness}, but is another package",
                name,
                "Attackers publish packages under names that are easily mistyped.",
                f"If {likeness} was meant, install that; otherwise verify who publishes {name}.",
            )
    for name, number in sorted(times.items()):
        if number > 1:
            yield Finding(
                "warning",
                f"{name} is listed {number} times",
                name,
                "Which copy is imported depends on the search path.",
            )


def look_alike(name: str) -> str:
    """Return the well-known package whose name this one imitates, or nothing."""
    plain = normal(name)
    if plain in _KNOWN or plain in _REAL_NEIGHBOURS:
        return ""
    if plain in _MISNAMED:
        return _MISNAMED[plain]
    if not plain.isascii():
        ascii_only = "".join(char for char in plain if char.isascii())
        return next((known for known in sorted(_KNOWN) if _close(ascii_only, known)), "a package with a plain name")
    squeezed = plain.replace("-", "").translate(_LOOKS)
    for known in sorted(_KNOWN):
        if known.replace("-", "").translate(_LOOKS) == squeezed or (len(known) > 4 and _close(plain, known)):
            return known
    return ""


def _close(left: str, right: str) -> bool:
    """Return whether one typing slip (a letter too many, missing, wrong, or two exchanged) separates them."""
    if abs(len(left) - len(right)) > 1 or left == right:
        return False
    start = 0
    while start < min(len(left), len(right)) and left[start] == right[start]:
        start += 1
    a, b = left[start:], right[start:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[2:] == b[2:] and a[:2] == b[:2][::-1])


def _vulnerable(
    packages: Sequence[Package], feed: Path | None, today: date, max_age_days: int
) -> tuple[int | None, str, list[Finding]]:
    """Return how many packages have a known advisory, or None and the reason."""
    if feed is None:
        return None, "no advisory data", []
    try:
        body = strictjson.parse_object(read_given(feed, strictjson.MAX_BYTES), what="the advisory file")
    except (OSError, InvalidInput) as error:
        return None, f"the advisory file cannot be read: {error}", []
    entries = body.get("advisories")
    if not isinstance(entries, list) or not entries:
        return None, "the advisory file holds no advisories", []
    age = _age(body.get("fetched"), today)
    if age is None or age < 0 or age > max_age_days:
        shown = "of unknown age" if age is None else f"{age} days old"
        return None, f"the advisory data is {shown}; at most {max_age_days} days are accepted", []
    try:
        known = _by_package(entries)
    except InvalidInput as error:
        return None, f"the advisory file is not in OSV form: {error}", []
    found: list[Finding] = []
    hit: set[Package] = set()
    for name, version in sorted(set(packages)):
        for advisory, affected in known.get(normal(name), ()):
            answer = _affects(affected, version)
            if answer is None:
                return None, f"{name} {version or 'without a version'} cannot be compared with {advisory['id']}", found
            if answer:
                hit.add((name, version))
                found.append(
                    Finding(
                        "critical",
                        f"{name} {version} has a known vulnerability: {advisory['id']}",
                        name,
                        str(advisory.get("summary") or advisory.get("details") or "")[:300],
                        _fix(affected),
                    )
                )
    return len(hit), "", found


def _age(fetched: Any, today: date) -> int | None:
    try:
        return (today - date.fromisoformat(str(fetched)[:10])).days
    except ValueError:
        return None


def _by_package(entries: list[Any]) -> dict[str, list[tuple[dict[str, Any], dict[str, Any]]]]:
    known: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    for entry in entries:
        if (
            not isinstance(entry, dict)
            or not isinstance(entry.get("id"), str)
            or not isinstance(entry.get("affected"), list)
        ):
            raise InvalidInput("an advisory has no id or names nothing affected")
        if entry.get("withdrawn"):
            continue
        for affected in entry["affected"]:
            package = affected.get("package") if isinstance(affected, dict) else None
            if not isinstance(package, dict) or not isinstance(package.get("name"), str):
                raise InvalidInput(f"{entry['id']} names no package")
            if package.get("ecosystem") == "PyPI":
                known.setdefault(normal(package["name"]), []).append((entry, affected))
    return known


def _affects(affected: Mapping[str, Any], version: str) -> bool | None:
    """Return whether the version is affected; None when that cannot be decided."""
    if version in (affected.get("versions") or ()):
        return True
    key = version_key(version)
    if key is None:
        return None
    listed = [version_key(str(item)) for item in affected.get("versions") or ()]
    if key in listed:
        return True
    for span in affected.get("ranges") or ():
        if not isinstance(span, dict) or span.get("type") not in ("ECOSYSTEM", "SEMVER"):
            continue
        inside = False
        for event in span.get("events") or ():
            kind, text = next(iter(event.items())) if isinstance(event, dict) and event else ("", "")
            if kind == "limit":
                continue
            bound = version_key("0" if text == "0" else str(text))
            if bound is None:
                return None
            if kind == "introduced" and key >= bound:
                inside = True
            elif (kind == "fixed" and key >= bound) or (kind == "last_affected" and key > bound):
                inside = False
        if inside:
            return True
    return False


def _fix(affected: Mapping[str, Any]) -> str:
    fixed = [
        str(event["fixed"])
        for span in affected.get("ranges") or ()
        for event in span.get("events") or ()
        if isinstance(event, dict) and "fixed" in event
    ]
    return (
        f"Fixed in {', '.join(fixed)}."
        if fixed
        else "No fixed version is named; replace the package or assess the risk."
    )


def to_cyclonedx(packages: Iterable[Package], subject_name: str, subject_sha256: str, serial: str) -> dict[str, Any]:
    """Return the model's bill of materials as CycloneDX 1.6 JSON.

    `serial` is a UUID that the caller chooses. Raises `InvalidInput` when it or the digest is not well formed.
    """
    subject = Subject(subject_name, subject_sha256)
    try:
        number = uuid.UUID(serial.removeprefix("urn:uuid:"))
    except ValueError:
        raise InvalidInput(f"the serial number {serial!r} is not a UUID") from None
    model = f"model:sha256:{subject.sha256}"
    libraries = {}
    for name, version in sorted({(normal(name), version.strip()) for name, version in packages}):
        purl = f"pkg:pypi/{quote(name, safe='')}" + (f"@{quote(version, safe='.-_~')}" if version else "")
        libraries[purl] = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
        if not version:
            del libraries[purl]["version"]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{number}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "machine-learning-model",
                "bom-ref": model,
                "name": subject.name,
                "hashes": [{"alg": "SHA-256", "content": subject.sha256}],
            },
            "tools": {"components": [{"type": "application", "name": "custody"}]},
        },
        "components": list(libraries.values()),
        "dependencies": [{"ref": model, "dependsOn": list(libraries)}, *({"ref": purl} for purl in libraries)],
    }


@check(
    stage=Stage.ARTIFACT,
    measures={
        "packages": Scale(0, 1e9, "lower", "packages", "Packages in the training environment."),
        "unpinned": Scale(0, 1e9, "lower", "packages", "Packages without one exact version."),
        "known_vulnerable": Scale(0, 1e9, "lower", "packages", "Packages with an advisory; unknown without a feed."),
    },
    example=Example(
        measure="unpinned",
        clean=lambda: Target(packages=(("numpy", "2.4.6"), ("polars", "2.1.0"))),
        caught=lambda: Target(packages=(("numpy", ">=2"), ("polars", ""))),
        at_most=0,
    ),
)
def dependencies(target: Target) -> Result:
    """List the packages of the training environment and look them up in the feed, if one is among the files."""
    return inspect_packages(target.packages, advisories=target.files.get(ADVISORIES))
