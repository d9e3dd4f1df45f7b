"""Which names an ordinary model's pickle needs, and what it does with each.

The list is data (`_allowlist.json`), learned from models that real library versions wrote, and kept with
its origin. Whatever is not on it counts as dangerous: nobody can list all callables that end in code
execution, but what scikit-learn, numpy, scipy, pandas, polars, XGBoost, LightGBM, joblib and torch
models need can be listed.

A name is allowed for certain uses only:

| use | meaning |
|---|---|
| v | it may be referred to, as a value inside a state |
| n | instances may be made without their constructor running, and given a state |
| c | it may be called; `_rules` looks at the arguments |
| b | what the call returned may be given a state |
| i | items may be put into what was made |

`python -m custody.checks.artifact._allowlist FOLDER NOTE` adds the names that the trusted files in FOLDER use.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

_DATA = Path(__file__).with_name("_allowlist.json")

_DANGEROUS_NAMES = """
os posix nt posixpath ntpath subprocess sys builtins __builtin__ importlib runpy pty socket shutil ctypes
_ctypes code codeop timeit cProfile profile pdb bdb trace doctest webbrowser asyncio multiprocessing threading
_thread pip pickle _pickle cPickle dill cloudpickle marshal types operator _operator functools _functools
itertools urllib http requests httpx ftplib smtplib telnetlib commands popen2 tempfile fileinput linecache
inspect gc signal io _io pydoc pkgutil zipimport site imp distutils setuptools ensurepip venv logging unittest
ast platform antigravity idlelib lib2to3 turtle tkinter cgitb sqlite3 weakref atexit faulthandler mmap
resource fcntl copyreg
"""
_DANGEROUS = frozenset(_DANGEROUS_NAMES.split())


@cache
def _names() -> Mapping[str, Mapping[str, str]]:
    found: Mapping[str, Mapping[str, str]] = json.loads(_DATA.read_bytes())["names"]
    return found


def uses(module: str, name: str) -> str:
    """Return the letters of the allowed uses; empty when the name is not on the list."""
    return _names().get(module, {}).get(name, "")


def origin() -> tuple[str, ...]:
    """Return which library versions the list was learned from."""
    return tuple(json.loads(_DATA.read_bytes())["origin"])


def danger(module: str, name: str) -> str:
    """Say in words what is known about a name that is not on the list."""
    top = module.split(".", maxsplit=1)[0]
    if not module.replace(".", "").replace("_", "").isalnum():
        return "The module's name is not one that Python code could write."
    if top in ("builtins", "__builtin__"):
        return f"The built-in {name} can run code, reach other objects or open files."
    if top in _DANGEROUS:
        return f"{top} can run commands, reach the system or resolve other names."
    if top in sys.stdlib_module_names:
        return "No ordinary model needs this part of the standard library; many of its callables end in running code."
    if top == "__main__":
        return "The name belongs to the script that made the model; its code is not part of what can be inspected."
    return "It is not among the names that models of known libraries need; importing it alone runs that module."


def learn(found: Iterable[tuple[str, str, str]], note: str) -> int:
    """Add (module, name, use letter) triples to the list and the note to its origin; return how many names are new."""
    body = json.loads(_DATA.read_bytes()) if _DATA.exists() else {"origin": [], "names": {}}
    names: dict[str, dict[str, str]] = body["names"]
    new = 0
    for module, name, use in found:
        known = names.setdefault(module, {})
        new += name not in known
        known[name] = "".join(sorted({*known.get(name, ""), use, "v"}))
    body["origin"] = sorted({*body["origin"], note})
    body["names"] = {module: dict(sorted(names[module].items())) for module in sorted(names)}
    _DATA.write_text(json.dumps(body, indent=0) + "\n", encoding="utf-8")
    return new


def main(folder: str, note: str) -> None:
    """Learn from every file below `folder`, all of which must be trusted."""
    from custody.checks.artifact.scan import names_used

    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    found = sorted({triple for path in paths for triple in names_used(path)})
    print(f"{learn(found, note)} new names from {len(paths)} files")


if __name__ == "__main__":
    main(*sys.argv[1:3])
