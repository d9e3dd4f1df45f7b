"""The programme: every attack, when it strikes, what must be silent without it, and what to do next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from custody.demo import attacks
from custody.demo.attacks import Catch
from custody.demo.life import Project


@dataclass(frozen=True)
class Attack:
    """One planted fault.

    `strikes` is the stage whose copy is attacked; `clean` names the step of the honest life that has
    to be silent; `next_command` is what a user does after the catch.
    """

    name: str
    story: str
    strikes: str
    clean: str
    next_command: str
    act: Callable[[Project], Catch]


ATTACKS: Sequence[Attack] = (
    Attack(
        "poisoned labels",
        "A bribed partner reports most of its frauds as honest.",
        "sourced",
        "data check",
        "custody incident blast fraud-train",
        attacks.poisoned_labels,
    ),
    Attack(
        "a tampered cell",
        "One amount in the registered training data is changed.",
        "registered",
        "audit verify",
        "custody data verify fraud-train",
        attacks.tampered_cell,
    ),
    Attack(
        "sealed after training",
        "Criteria the model is known to meet are sealed afterwards.",
        "registered",
        "decide",
        "custody run -- python train.py",
        attacks.sealed_after_training,
    ),
    Attack(
        "training logged afterwards",
        "A model of last month is handed out as if it were trained now.",
        "sealed",
        "spot check",
        "custody run -- python train.py",
        attacks.logged_afterwards,
    ),
    Attack(
        "one signature",
        "The author seals criteria that nobody else has read.",
        "registered",
        "run",
        "custody gate countersign",
        attacks.one_signature,
    ),
    Attack(
        "a quiet amendment",
        "After the second signature, the author loosens the criteria.",
        "sealed",
        "run",
        "custody gate countersign",
        attacks.quiet_amendment,
    ),
    Attack(
        "peeking at the exam",
        "The trainer asks for the held-out set as training data.",
        "sealed",
        "run",
        "custody audit people",
        attacks.peeking,
    ),
    Attack(
        "data sent away",
        "The training script opens a network connection.",
        "sealed",
        "run",
        "custody run list",
        attacks.exfiltration,
    ),
    Attack(
        "dataset swapped mid-run",
        "The training file is replaced on disk during the run.",
        "sealed",
        "run",
        "custody data verify fraud-train",
        attacks.swapped_dataset,
    ),
    Attack(
        "malicious pickle",
        "The training writes a model file that runs code when opened.",
        "sealed",
        "validate",
        "custody incident open MODEL --type supply-chain",
        attacks.malicious_pickle,
    ),
    Attack(
        "leaked rows",
        "Training rows find their way into the held-out set.",
        "sourced",
        "validate",
        "custody data register fraud-holdout-2 ... --purpose held_out",
        attacks.leaked_rows,
    ),
    Attack(
        "leaky feature",
        "A column is only known weeks after the payment.",
        "sourced",
        "validate",
        "custody data register fraud-train-2 ... --ignore chargeback_code",
        attacks.leaky_feature,
    ),
    Attack(
        "biased group",
        "One region's frauds were never investigated.",
        "sourced",
        "validate",
        "custody gate show",
        attacks.biased_group,
    ),
    Attack(
        "criteria loosened",
        "After the result, the author lowers the bar and trains again.",
        "validated",
        "decide",
        "custody data register fraud-holdout-2 ... --purpose held_out",
        attacks.loosened_criteria,
    ),
    Attack(
        "trainer approves",
        "The trainer, made an approver too, approves his own model.",
        "validated",
        "approve ari",
        "custody gate approve --as ari",
        attacks.own_approval,
    ),
    Attack(
        "second name, same key",
        "The trainer enrols under another name to approve.",
        "validated",
        "person cora",
        "custody audit people",
        attacks.alias_approval,
    ),
    Attack(
        "a typed verdict",
        "An insider with every key writes GO into the ledger.",
        "validated",
        "audit verify",
        "custody audit log",
        attacks.typed_verdict,
    ),
    Attack(
        "weights swapped",
        "After approval, the weights are replaced on disk.",
        "served",
        "deploy",
        "custody incident open MODEL --type supply-chain",
        attacks.swapped_weights,
    ),
    Attack(
        "a stolen key",
        "An approval turns out to be by a thief, in service.",
        "served",
        "deploy",
        "custody gate approve; custody gate decide",
        attacks.stolen_key,
    ),
    Attack(
        "used elsewhere",
        "A model admitted to production is asked for elsewhere.",
        "served",
        "deploy",
        "custody gate decide --env partner-cloud",
        attacks.elsewhere,
    ),
    Attack(
        "drifted month",
        "A partner reports cents; customers move online.",
        "served",
        "drift",
        "custody incident open MODEL --type drift",
        attacks.drifted_month,
    ),
    Attack(
        "ledger row edited",
        "One result in the ledger's database is rewritten.",
        "served",
        "audit verify",
        "restore the ledger; custody audit verify",
        attacks.edited_row,
    ),
    Attack(
        "ledger cut short",
        "An old copy is put back, without the last incident.",
        "served",
        "audit verify",
        "restore the ledger; custody audit verify",
        attacks.truncated_ledger,
    ),
    Attack(
        "retired model revived",
        "A retired model is put before the gate again.",
        "served",
        "decide",
        "custody run -- python train.py",
        attacks.revived,
    ),
)
"""In the order of the stages they strike."""
