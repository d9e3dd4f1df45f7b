"""Who acts: a person or workload, its roles and its key. Thresholds count persons, never keys."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """Least-privilege roles; what each may do stands in `access.py`."""

    OWNER = "owner"
    SECURITY_MANAGER = "security_manager"
    DATA_ENGINEER = "data_engineer"
    DATA_SCIENTIST = "data_scientist"
    ML_ENGINEER = "ml_engineer"
    VALIDATOR = "validator"
    APPROVER = "approver"
    COMPLIANCE_OFFICER = "compliance_officer"
    AUDITOR = "auditor"
    OPERATOR = "operator"
    CUSTODIAN = "custodian"


@dataclass(frozen=True)
class Actor:
    """A name on record: the person behind it, what it may do, and the key it signs with.

    `key` is the SubjectPublicKeyInfo of an ECDSA P-256 key in PEM; `keyid` is the sha256 of its DER.
    """

    name: str
    person: str
    roles: frozenset[Role]
    key: str
    keyid: str

    def has(self, *roles: Role) -> bool:
        """Tell whether any of `roles` is held."""
        return not self.roles.isdisjoint(roles)
