"""A desk for a reader who has no project: a bundle, and a trust root that came by another way."""

from __future__ import annotations

from custody.adapters.carried import BundleStore, Recalled
from custody.core.strictjson import b64decode
from custody.desk import Desk
from custody.errors import NotPermitted
from custody.ledger.log import Log
from custody.ledger.trust import RootChain, Trust, check_pin
from custody.seal.keys import Signer


def desk_over(bundle: bytes, trust: Trust) -> Desk:
    """Return a desk that reads a bundle under these keys and signs nothing.

    Every signature is verified when it is read. Raises `InvalidInput` for what is no bundle, and `Tampered`
    where the bundle is not a continuation of what the trust root pins.
    """
    memory = Recalled(trust.seen_size, bytes.fromhex(trust.seen_root))
    public = b64decode(trust.log_key, what="log_key of the trust root")
    log = Log(BundleStore(bundle), memory, trust.origin, public, None, RootChain(trust))
    desk = Desk(log, trust.owner_key, _nobody)
    check_pin(trust, [root for _, root in desk.roster().roots])
    return desk


def _nobody(name: str) -> Signer:
    raise NotPermitted(f"{name} cannot sign here: a bundle is only read", hint="act in the project itself")
