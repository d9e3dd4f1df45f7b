"""Seeds a sealed run: every generator starts from CUSTODY_SEED, without a line in the user's script.

Python imports this file by itself because it lies on PYTHONPATH. Nothing heavy is imported: a library is
seeded at the moment the script imports it. `numpy.random.default_rng()` without a seed would draw from
the operating system; here it draws from the run's seed, a different stream at each call. A seed that the
script gives is left alone.
"""

# ruff: noqa: PTH109, PTH110, PTH120 - pathlib would cost every run its import

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _seed_random(module: Any, seed: int) -> None:
    module.seed(seed)


def _seed_numpy(module: Any, seed: int) -> None:
    module.seed(seed % 2**32)
    streams = module.SeedSequence(seed)
    make = module.default_rng

    def default_rng(seed: Any = None) -> Any:
        return make(streams.spawn(1)[0] if seed is None else seed)

    default_rng.__doc__ = make.__doc__
    module.default_rng = default_rng


def _seed_polars(module: Any, seed: int) -> None:
    module.set_random_seed(seed % 2**32)


def _seed_torch(module: Any, seed: int) -> None:
    module.manual_seed(seed % 2**63)


_SEEDERS: dict[str, Callable[[Any, int], None]] = {
    "random": _seed_random,
    "numpy.random": _seed_numpy,
    "polars": _seed_polars,
    "torch": _seed_torch,
}


class _Loader:
    """The library's own loader, followed by one call that seeds it."""

    def __init__(self, loader: Any, seeder: Callable[[Any, int], None], seed: int) -> None:
        self._loader, self._seeder, self._seed = loader, seeder, seed

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        self._loader.exec_module(module)
        try:
            self._seeder(module, self._seed)
        except (AttributeError, TypeError) as error:
            sys.stderr.write(f"custody: {module.__name__} could not be seeded: {error}\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class _Finder:
    """Finds a library as everyone else does, once, and wraps its loader."""

    def __init__(self, seed: int) -> None:
        self._seed, self._left = seed, dict(_SEEDERS)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        seeder = self._left.pop(name, None)
        if seeder is None:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec = None if finder is self or find is None else find(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, seeder, self._seed)
                return spec
        self._left[name] = seeder
        return None


def _begin() -> None:
    text = os.environ.get("CUSTODY_SEED", "")
    if not text:
        return
    seed = int(text)
    for name, seeder in _SEEDERS.items():
        if name in sys.modules:
            seeder(sys.modules[name], seed)
    sys.meta_path.insert(0, _Finder(seed))


def _continue() -> None:
    """Run the sitecustomize that this one hides, if the environment has one."""
    from importlib.machinery import PathFinder

    here = os.path.realpath(os.path.dirname(__file__))
    others = [path for path in sys.path if os.path.realpath(path or os.getcwd()) != here]
    spec = PathFinder.find_spec("sitecustomize", others)
    # Debian's points into /etc, which a sealed run does not have.
    if spec is None or spec.loader is None or not spec.origin or not os.path.exists(spec.origin):
        return
    from importlib.util import module_from_spec

    spec.loader.exec_module(module_from_spec(spec))


_begin()
_continue()
