from __future__ import annotations

from pathlib import Path

import pytest

from custody.config import find_config, read_config, state_folder
from custody.errors import InvalidInput, NotFound
from custody.gates import policy_of

SOUND = """\
use_case = "loans"
actor = "ann"

[trust]
origin = "custody.loans.1"
log_key = "AAAA"
owner_key = "abcd"
"""


def written(folder: Path, text: str | bytes = SOUND) -> Path:
    path = folder / "custody.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_project_is_found_from_any_folder_below_it(tmp_path: Path) -> None:
    written(tmp_path)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    found = find_config(below, {"HOME": "/nobody"})
    assert found.root == tmp_path.resolve()
    assert (found.use_case, found.actor, found.origin, found.log_key, found.owner_key) == (
        *("loans", "ann", "custody.loans.1", "AAAA", "abcd"),
    )
    store = tmp_path.resolve() / ".custody"
    places = (found.ledger, found.keys, found.vault, found.runs, found.staging, found.predictions)
    assert {place.parent for place in places} == {store}
    assert len(set(places)) == 6


def test_no_project_is_said_with_the_command_that_begins_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        find_config(tmp_path, {})
    assert "custody init" in caught.value.hint
    with pytest.raises(NotFound):
        read_config(tmp_path / "custody.toml", {})


def test_the_environment_names_actor_state_and_passphrase(tmp_path: Path) -> None:
    path = written(tmp_path)
    found = read_config(path, {"CUSTODY_ACTOR": "bob", "CUSTODY_PASSPHRASE": "x", "CUSTODY_STATE": "/s"})
    assert (found.actor, found.passphrase, found.state) == ("bob", "x", Path("/s"))
    assert read_config(path, {}).passphrase == ""
    assert read_config(written(tmp_path, SOUND.replace('actor = "ann"', "")), {}).actor == ""


def test_what_a_client_remembers_lies_apart_from_the_project() -> None:
    assert state_folder({"CUSTODY_STATE": "/s", "XDG_STATE_HOME": "/x", "HOME": "/h"}) == Path("/s")
    assert state_folder({"XDG_STATE_HOME": "/x", "HOME": "/h"}) == Path("/x/custody")
    assert state_folder({"HOME": "/h"}) == Path("/h/.local/state/custody")


@pytest.mark.parametrize(
    "text",
    [
        b"\xff",
        "use_case = ",
        "a = " + "[" * 5000,
        "a = " + "9" * 5000,
        "",
        SOUND.replace('use_case = "loans"', ""),
        SOUND.replace('"loans"', '""'),
        SOUND.replace('"loans"', "7"),
        SOUND.replace('"ann"', "7"),
        SOUND.replace('log_key = "AAAA"', ""),
        SOUND.replace('origin = "custody.loans.1"', 'origin = ""'),
        SOUND + 'more = "x"\n',
        'more = "x"\n' + SOUND,
        '"" = "x"\n' + SOUND,
        "[more]\n" + SOUND,
        'use_case = "loans"\ntrust = "me"\n',
        SOUND + 'origin = "twice"\n',
        SOUND + "[vault]\nroot = 7\n",
        SOUND + '[vault]\nkey = "x"\n',
    ],
)
def test_a_project_file_of_another_form_is_refused(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(InvalidInput, match="custody"):
        read_config(written(tmp_path, text), {})


def test_the_root_key_is_where_the_project_file_says_and_never_in_the_vault(tmp_path: Path) -> None:
    assert read_config(written(tmp_path, SOUND), {}).vault_key == tmp_path.resolve() / ".custody" / "keys" / "vault.key"
    for place, path in (("file:../apart/root", tmp_path.resolve().parent / "apart" / "root"), ("file:/r", Path("/r"))):
        assert read_config(written(tmp_path, f'{SOUND}[vault]\nroot = "{place}"\n'), {}).vault_key == path
    for place in ("pkcs11:token=x", "file:", "file:.custody/vault/root", "/r"):
        with pytest.raises(InvalidInput, match=r"custody\.toml"):
            _ = read_config(written(tmp_path, f'{SOUND}[vault]\nroot = "{place}"\n'), {}).vault_key


@pytest.mark.parametrize("tier", ["low", "medium", "high"])
def test_each_tier_has_a_whole_policy(tier: str) -> None:
    policy = policy_of(tier)
    assert set(policy) == set(policy_of("high"))
    assert policy["approvals"] >= 1
    assert "artifact.scan.critical_findings" in [item["measure"] for item in policy["baseline"]]
    assert not any(item["waivable"] for item in policy["baseline"])
    assert policy["solo"] is False
    assert policy_of(tier, solo=True)["approvals"] == 1
    policy["baseline"].clear()
    assert policy_of(tier)["baseline"]  # nobody can change the policy of others


def test_a_higher_tier_asks_for_no_less() -> None:
    low, medium, high = (policy_of(tier) for tier in ("low", "medium", "high"))
    for less, more in ((low, medium), (medium, high)):
        assert less["approvals"] <= more["approvals"]
        assert set(less["required"]) <= set(more["required"])
        assert set(more["trust"]) <= set(less["trust"])
        assert less["waiver_days"] >= more["waiver_days"]
        assert less["isolation"] <= more["isolation"]
        assert set(less["never_waive"]) <= set(more["never_waive"])
        assert less["max_waivers"] >= more["max_waivers"]
        assert {i["measure"] for i in less["baseline"]} <= {i["measure"] for i in more["baseline"]}
