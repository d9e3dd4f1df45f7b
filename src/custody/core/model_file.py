"""Which file of an artifact is the model: one rule, for whoever measures it and whoever serves it.

The process that opens models behind the wall applies the same rule to the folder it is shown; a test
holds the two against each other. A second file that could be loaded instead would be a second model.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from custody.errors import InvalidInput

SUFFIXES = (".joblib", ".pkl", ".pickle")


def model_file(names: Iterable[str]) -> str:
    """Return the one file that is the model: `model.*` where there are several.

    Raises `InvalidInput` when there is none, or no single one.
    """
    found = sorted(name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES)
    if not found:
        raise InvalidInput(
            "the artifact holds no .joblib, .pkl or .pickle file", hint="custody deploy --to FOLDER hands out its files"
        )
    chosen = [name for name in found if PurePosixPath(name).stem == "model"] if len(found) > 1 else found
    if len(chosen) != 1:
        raise InvalidInput(
            f"the artifact holds several models and no single one named model.*: {', '.join(found[:10])}"
        )
    return chosen[0]
