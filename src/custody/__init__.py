"""Custody keeps the chain of custody of machine-learning models.

import custody
with custody.load("card-fraud", environment="production") as model:
    model.predict_proba(rows)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from custody.serving import load
    from custody.wiring import Custody, open_custody

__all__ = ["Custody", "load", "open_custody"]


def __getattr__(name: str) -> Any:
    """Import what is asked for, so that `import custody` itself stays instant (PEP 562)."""
    if name == "load":
        from custody.serving import load

        return load
    if name in __all__:
        from custody import wiring

        return getattr(wiring, name)
    raise AttributeError(f"module 'custody' has no attribute {name!r}")
