"""Policies as data: what every gate of a tier demands besides its criteria."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any


@cache
def _document() -> dict[str, Any]:
    return tomllib.loads(resources.files("custody.gates").joinpath("policy.toml").read_text("utf-8"))


def policy_of(tier: str, *, solo: bool = False) -> dict[str, Any]:
    """Return the policy of a tier; it is sealed together with the criteria."""
    policy = dict(_document()[tier])
    policy["baseline"] = [dict(item) for item in policy["baseline"]]
    policy["runtime"] = [dict(item) for item in policy["runtime"]]
    policy["solo"] = solo
    if solo:
        policy.update(approvals=1, countersign=[], retire_persons=1)
    return policy


def access_text() -> str:
    """Return the access policies that Custody ships, as Cedar text."""
    return resources.files("custody.gates").joinpath("access.cedar").read_text("utf-8")


def access_schema() -> str:
    """Return the Cedar schema the access policies are written for."""
    return resources.files("custody.gates").joinpath("access.cedarschema").read_text("utf-8")
