"""A model behind a wall: its code runs in a sealed child that has rows and nothing else.

Opening a model can run its code, and calling it always does. The child holds no key, no ledger, no
label and no network; it sees the model's folder read-only and answers with raw numbers. This side never
unpickles, reads no more bytes than the question allows, and believes nothing that is not a finite
number in [0, 1] for every row that was asked.
"""

from __future__ import annotations

import contextlib
import os
import select
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from custody.adapters.hints import read_tail
from custody.checks.target import Unmeasurable
from custody.core import strictjson
from custody.core.sandbox import Mount, Sandbox
from custody.errors import CustodyError, InvalidInput

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

_SERVER = Path(__file__).parent / "inside" / "serve_model.py"
_SERVER_INSIDE = "/custody/serve/serve_model.py"
_MODEL_INSIDE = "/custody/model"
_LENGTHS = struct.Struct(">IQ")
_HEADER_LIMIT = 1024 * 1024
_TOLERANCE = 1e-9
_PIPE = 1024 * 1024
_SET_PIPE_SIZE = 1031
_STARTS = 3
"""How often a child that died is started again before the model counts as unusable."""


class SandboxedPredictor:
    """Implements `checks.target.Predictor` for a model file in `model_dir`.

    `features` are the columns the model may be shown; of these it gets the ones it was fitted on.
    `positive` is the label whose score is asked for. `time_limit` is in seconds per question, loading
    included in the first. `code` shows modules that the pickled model needs (`layout` makes such
    mounts). Every failure raises `Unmeasurable` with its reason. Questions are answered one at a time;
    threads wait for each other.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        model_dir: Path,
        features: Sequence[str],
        *,
        python: str = sys.executable,
        time_limit: float = 600.0,
        positive: str = "1",
        code: Sequence[Mount] = (),
        seed: int = 0,
        memory_limit: int | None = None,
    ) -> None:
        self._sandbox = sandbox
        self._model_dir = model_dir
        self._features = tuple(features)
        self._python = python
        self._time_limit = time_limit
        self._positive = positive
        self._code = tuple(code)
        self._seed = seed
        self._memory_limit = memory_limit
        self._lock = threading.Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="custody-model-")
        self._log = Path(self._folder.name) / "log"
        self._child: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self._asked = 0
        self._queries = 0
        self._wanted: tuple[str, ...] = ()
        self._broken = ""
        self.method = ""
        """How the model answers, once it was asked: predict_proba, decision_function or predict."""

    @property
    def queries(self) -> int:
        """Return how many rows have been scored so far."""
        return self._queries

    def scores(self, rows: pl.DataFrame) -> NDArray[np.float64]:
        """Return the score of the positive class for each row; shape (rows,), values in [0, 1]."""
        import numpy as np

        if rows.height == 0:
            return np.empty(0, dtype=np.float64)
        with self._lock:
            if self._broken:
                raise Unmeasurable(self._broken)
            deadline = time.monotonic() + self._time_limit
            try:
                if self._child is None:
                    self._start(deadline)
                absent = [name for name in self._wanted if name not in rows.columns]
                if absent:
                    raise Unmeasurable(f"the model needs the column {absent[0]!r}, which the table does not have")
                self._asked += 1
                header, parts = encode(rows.select(self._wanted), self._asked)
                answer, body = self._exchange(_frame(header, parts), rows.height * 8, deadline)
            except _Gone as gone:
                self._stop()
                if gone.final or self._starts >= _STARTS:
                    self._broken = str(gone)
                raise Unmeasurable(str(gone)) from None
            if not answer["ok"]:
                raise Unmeasurable(_text(answer.get("error")))
            self._queries += rows.height
        return accepted(body, rows.height)

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._stop()
            self._broken = self._broken or "the model is closed"
            self._folder.cleanup()

    def __enter__(self) -> SandboxedPredictor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, deadline: float) -> None:
        self._starts += 1
        mounts = [Mount(_SERVER, _SERVER_INSIDE), Mount(self._model_dir, _MODEL_INSIDE), *self._code]
        environment = {"CUSTODY_SEED": str(self._seed)}
        if self._code:
            environment["PYTHONPATH"] = "."
        work = next((_root(mount) for mount in self._code if not mount.inside.startswith("/")), None)
        try:
            self._child = self._sandbox.popen(
                [self._python, _SERVER_INSIDE, _MODEL_INSIDE, self._positive],
                mounts=mounts,
                environment=environment,
                log=self._log,
                work=work,
                memory_limit=self._memory_limit,
            )
        except InvalidInput:
            raise
        except (CustodyError, OSError) as error:
            raise _Gone(f"the model's sandbox could not be started: {error}", final=True) from None
        for stream in (self._child.stdin, self._child.stdout):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
            with contextlib.suppress(OSError):
                _widen(stream.fileno())
        self._asked = 0
        hello, _ = self._exchange(b"", 0, deadline)
        if not hello["ok"]:
            raise _Gone(_text(hello.get("error")), final=True)
        self._wanted = self._agreed(hello.get("features"))
        self.method = _text(hello.get("method"))

    def _agreed(self, wanted: object) -> tuple[str, ...]:
        """Return the columns to send: those the model names, if it may see them."""
        if wanted is None:
            return self._features
        if not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted):
            raise _Gone("the model's feature names are not a list of texts", final=True)
        foreign = [name for name in wanted if name not in self._features]
        if foreign:
            raise _Gone(
                f"the model asks for the column {_text(foreign[0])!r}, which is not one of the declared features",
                final=True,
            )
        if not wanted or len(set(wanted)) != len(wanted):
            raise _Gone("the model's feature names are empty or repeated", final=True)
        return tuple(wanted)

    def _exchange(self, request: bytes, body_size: int, deadline: float) -> tuple[Mapping[str, Any], bytearray]:
        """Send a frame and read the answer; a body must have exactly `body_size` bytes, or none on failure."""
        child = self._child
        assert child is not None
        assert child.stdin is not None
        assert child.stdout is not None
        pipe = _Pipe(child.stdin.fileno(), child.stdout.fileno(), deadline, self._time_limit)
        try:
            if request and pipe.has_spoken():
                raise _Gone("the model's process spoke without being asked", final=True)
            pipe.send(request)
            header_size, size = _LENGTHS.unpack(pipe.receive(_LENGTHS.size))
            if header_size > _HEADER_LIMIT:
                raise _Gone(f"the model's process announced a header of {header_size} bytes", final=True)
            answer = strictjson.parse_object(bytes(pipe.receive(header_size)), what="the model's answer")
            good = answer.get("ok") is True
            if answer.get("id") != self._asked:
                raise _Gone("the model's process answered another question than was asked", final=True)
            if size != (body_size if good else 0):
                raise _Gone(f"the model's process announced {size} bytes where {body_size} were asked for", final=True)
            return {**answer, "ok": good}, pipe.receive(size)
        except InvalidInput as error:
            raise _Gone(f"the model's process does not keep to the protocol: {error}", final=True) from None
        except _Ended:
            raise _Gone(self._last_words(child)) from None

    def _last_words(self, child: subprocess.Popen[bytes]) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(1.0)
        lines = [line.strip() for line in read_tail(self._log).splitlines() if line.strip()]
        words = f": {_text(' / '.join(lines[-3:]))}" if lines else ""
        return f"the model's process ended with code {child.poll()}{words}"

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        child.wait()


class _Gone(Exception):
    """The child cannot be used any more; `final` when starting it again would change nothing."""

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


class _Ended(Exception):
    """The child closed its end."""


class _Pipe:
    """Two non-blocking descriptors and a deadline: a child that stalls in either direction is noticed."""

    def __init__(self, write: int, read: int, deadline: float, limit: float) -> None:
        self._write, self._read, self._deadline, self._limit = write, read, deadline, limit

    def has_spoken(self) -> bool:
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        return any(event & select.POLLIN for _, event in poll.poll(0))

    def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._await(self._write, select.POLLOUT)
            try:
                rest = rest[os.write(self._write, rest[:_PIPE]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise _Ended from None

    def receive(self, size: int) -> bytearray:
        data = bytearray(size)
        rest = memoryview(data)
        while rest:
            self._await(self._read, select.POLLIN)
            try:
                count = os.readv(self._read, [rest])
            except BlockingIOError:
                continue
            if count == 0:
                raise _Ended
            rest = rest[count:]
        return data

    def _await(self, handle: int, event: int) -> None:
        poll = select.poll()
        poll.register(handle, event)
        left = self._deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise _Gone(f"the model did not answer within {self._limit:g} s", final=True)


def encode(rows: pl.DataFrame, question: int) -> tuple[dict[str, Any], list[bytes]]:
    """Turn a table into a header and raw columns; text travels as codes into its distinct values.

    Raises `Unmeasurable` for columns that have no plain form (lists, structs).
    """
    import numpy as np
    import polars as pl

    columns: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for series in rows:
        column: dict[str, Any] = {"name": series.name}
        kind = series.dtype
        if kind.is_nested() or kind in (pl.Binary, pl.Object):
            raise Unmeasurable(f"the column {series.name!r} holds {kind}, which a model cannot be asked about")
        if kind == pl.Datetime:
            values = series.cast(pl.Datetime("us")).to_numpy().astype("<M8[us]")
        elif kind == pl.Boolean and not series.null_count():
            values = series.to_numpy()
        elif kind.is_numeric() or kind in (pl.Boolean, pl.Null):
            plain = series.cast(pl.Float64) if series.null_count() or kind.is_decimal() else series
            values = plain.to_numpy()
        else:
            text = series.cast(pl.String)
            distinct = text.drop_nulls().unique().sort()
            column["categories"] = distinct.to_list()
            codes = text.cast(pl.Enum(distinct)).to_physical().cast(pl.Int32).fill_null(-1)
            values = codes.to_numpy()
        values = np.ascontiguousarray(values)
        if values.dtype.byteorder == ">":
            values = values.astype(values.dtype.newbyteorder("<"))
        column["dtype"] = values.dtype.str
        columns.append(column)
        parts.append(values.tobytes())
    return {"id": question, "rows": rows.height, "columns": columns}, parts


def accepted(body: bytes | bytearray, rows: int) -> NDArray[np.float64]:
    """Return the scores in a body of `rows` little-endian doubles; raises `Unmeasurable` unless all are in [0, 1]."""
    import numpy as np

    scores = np.frombuffer(body, dtype="<f8").astype(np.float64)
    if scores.shape != (rows,):
        raise Unmeasurable(f"the model returned shape {scores.shape} for {rows} rows")
    nans = int(np.isnan(scores).sum())
    if nans:
        raise Unmeasurable(f"the model returned NaN in {nans} of {rows} rows")
    endless = int(np.isinf(scores).sum())
    if endless:
        raise Unmeasurable(f"the model returned infinity in {endless} of {rows} rows")
    outside = int(((scores < -_TOLERANCE) | (scores > 1 + _TOLERANCE)).sum())
    if outside:
        raise Unmeasurable(
            f"the model returned scores outside [0, 1] in {outside} of {rows} rows"
            f" ({scores.min():g} to {scores.max():g}); a probability is needed"
        )
    return np.clip(scores, 0.0, 1.0)


def _frame(header: Mapping[str, Any], parts: Sequence[bytes]) -> bytes:
    raw = strictjson.dump(header)
    return b"".join([_LENGTHS.pack(len(raw), sum(map(len, parts))), raw, *parts])


def _root(mount: Mount) -> Path:
    """Return the folder that a mount's relative path is relative to."""
    depth = len(Path(mount.inside).parts)
    return mount.source.parents[depth - 1]


def _text(value: object) -> str:
    """Return a stranger's words as one printable line."""
    words = value if isinstance(value, str) else "no reason was given"
    return "".join(letter if letter.isprintable() else " " for letter in words)[:500]


def _widen(handle: int) -> None:
    import fcntl

    fcntl.fcntl(handle, _SET_PIPE_SIZE, _PIPE)
