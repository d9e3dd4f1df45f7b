"""The output folder of a run: taken by one run at a time, and empty when a run begins."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from custody.errors import InvalidInput, Unavailable


@contextmanager
def claimed(root: Path, name: str, claims: Path) -> Iterator[Path]:
    """Take the folder `name` below `root` for one run, empty; leftovers of a run that was killed are removed.

    The claim is a lock that ends with the process, on a file in `claims` that names the folder while a
    run uses it. Raises `InvalidInput` when the folder is not empty, `Unavailable` while another run
    writes to it.
    """
    out = root / name
    if Path(name).is_absolute() or ".." in Path(name).parts or out == root:
        raise InvalidInput(f"the output folder {name!r} must be a folder below {root}")
    if out.exists() and not out.is_dir():
        raise InvalidInput(f"the output folder {out} is a file", hint="name another folder with --out")
    claims.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256(str(out).encode()).hexdigest()[:16]
    with (claims / f"{digest}.claim").open("a+") as claim:
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Unavailable(
                f"another run is writing to {out}", hint="wait for it, or name another folder with --out"
            ) from None
        claim.seek(0)
        if claim.read():
            shutil.rmtree(out, ignore_errors=True)
            claim.truncate(0)
        if out.exists() and any(out.iterdir()):
            raise InvalidInput(
                f"the output folder {out} is not empty; a run must start with an empty one",
                hint=f"move {name} away, or name another folder with --out",
            )
        claim.write(str(out))
        claim.flush()
        try:
            yield out
        finally:  # a run that was killed does not come here: its claim stays, and says whose leftovers those are
            claim.truncate(0)
