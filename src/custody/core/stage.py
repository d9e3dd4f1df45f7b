"""The stages of a model's life, in order."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """One station of the life of a model; the value is what users read and type."""

    SOURCING = "sourcing"
    DATA = "data"
    CRITERIA = "criteria"
    TRAINING = "training"
    ARTIFACT = "artifact"
    VALIDATION = "validation"
    RELEASE = "release"
    DEPLOYMENT = "deployment"
    RUNTIME = "runtime"
    INCIDENT = "incident"
    RETIREMENT = "retirement"
