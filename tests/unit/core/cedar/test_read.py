from __future__ import annotations

import pytest

from custody.core.cedar.read import BYTES, POLICIES, read_policies
from custody.core.cedar.syntax import Get, Has, If, Lit, Name, Not, Policy, Two, Uid, depth_of, printed
from custody.errors import InvalidInput


def condition(text: str) -> object:
    (policy,) = read_policies(f'@id("x") permit (principal, action, resource) when {{ {text} }};')
    return policy.conditions[0][1]


def test_a_policy_is_read_with_its_scope_notes_and_line() -> None:
    (policy,) = read_policies(
        '// first\n@id("a") @reason("so")\npermit (principal is A in B::"b", action in [Action::"x", Action::"y",],'
        ' resource == C::D::"d",)\nwhen { true } unless { false };'
    )
    assert (policy.id, policy.permits, policy.notes, policy.line) == ("a", True, (("reason", "so"),), 2)
    assert (policy.principal.type, policy.principal.uids) == ("A", (Uid("B", "b"),))
    assert policy.action.uids == (Uid("Action", "x"), Uid("Action", "y"))
    assert policy.resource.uids == (Uid("C::D", "d"),)
    assert [when for when, _ in policy.conditions] == [True, False]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("context.a && context.b || context.c", "(context.a && context.b) || context.c"),
        ("!context.a == true", "(!(context.a)) == true"),
        ('context has "if"', 'context has "if"'),
        ("-5 < 3", "(-5) < 3"),
        ('principal["a b"].c', 'principal["a b"].c'),
        ("[1, 2,].contains(context.n)", "[1, 2].contains(context.n)"),
        ('{b: 1, "a b": {}}.b', '{"a b": {}, "b": 1}.b'),
        (r'"\u{e9}\x41\0\n\"" == "x"', r'"éA\0\n\"" == "x"'),
        (r'context.s like "a*\*\\b"', r'context.s like "a*\*\\b"'),
        ('resource is A in B::"b"', '(resource is A) && (resource in B::"b")'),
        ("if context.a then 1 else 2", "if context.a then 1 else 2"),
    ],
)
def test_expressions_are_read_as_cedar_reads_them(text: str, expected: str) -> None:
    assert f"when {{ {expected} }};" in printed(
        read_policies(f'@id("x") permit (principal, action, resource) when {{ {text} }};')
    )


def test_trees_are_what_they_say() -> None:
    assert condition("!context.a && 1 == 2") == Two("&&", Not(Get(Name("context"), "a")), Two("==", Lit(1), Lit(2)))
    assert condition("if true then context has a else false") == If(Lit(True), Has(Name("context"), "a"), Lit(False))
    assert depth_of(Not(Not(Lit(True)))) == 3


P = '@id("x") permit (principal, action, resource)'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("permit (principal, action, resource);", "line 1: the policy has no name"),
        ('@id("") permit (principal, action, resource);', "no name"),
        (f"{P};\n{P};", "line 2: there are two policies"),
        (f"{P}", "the text ends where ';'"),
        ('@id("x") allow (principal, action, resource);', "'permit' or 'forbid'"),
        ('@id("x") permit (action, principal, resource);', "'action' stands where 'principal'"),
        ('@id("x") permit (principal == ?principal, action, resource);', "'\\?' stands"),
        ('@id("x") permit (principal, action is A, resource);', "'is' stands"),
        ('@id("x") @id("y") permit (principal, action, resource);', "given twice"),
        (f"{P} when {{ 1 + 2 }};", "nothing a policy may contain"),
        (f'{P} when {{ ip("1.1.1.1") }};', "ip\\(\\) is not known"),
        (f"{P} when {{ context.a.isEmpty() }};", "isEmpty\\(\\) is not known"),
        (f"{P} when {{ context has a.b }};", "takes one name"),
        (f"{P} when {{ 1 < 2 < 3 }};", "'<' stands"),
        (f"{P} when {{ !!!!!true }};", "more than four"),
        (f"{P} when {{ 9223372036854775808 == 1 }};", "too large"),
        (f"{P} when {{ {'9' * 5000} == 1 }};", "too large"),
        (f"{P} when {{ -context.a == 1 }};", "a number"),
        (f"{P} when {{ context.in }};", "'in' stands"),
        (f"{P} when {{ {{a: 1, a: 2}}.a == 1 }};", "given twice"),
        (f'{P} when {{ "\\q" == "" }};', "no escape"),
        (f'{P} when {{ "\\u{{d800}}" == "" }};', "no escape"),
        (f'{P} when {{ "\\*" == "" }};', "no escape"),
        (f'{P} when {{ "open }};', "nothing a policy may contain"),
        (f"{P} when {{ 'single' == 1 }};", "nothing a policy may contain"),
        (f"{P} when {{ {'(' * 50}true{')' * 50} }};", "levels of nesting"),
        (f"{P} when {{ {'true && ' * 50}true }};", "joined by &&"),
        (f"{P} when {{ context{'.a' * 50} }};", "steps in a row"),
        (f"{P} when {{ [{'1,' * 1001}] == 1 }};", "more than 1000 items"),
        (f"{P} when {{ {'[' * 2000} }};", "levels of nesting"),
    ],
)
def test_what_is_outside_of_the_subset_is_refused_with_line_and_reason(text: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as caught:
        read_policies(text)
    assert caught.value.message.startswith("line ")
    assert caught.value.exit_code == 2


def test_limits() -> None:
    with pytest.raises(InvalidInput, match="longer than 256 KiB"):
        read_policies("/" * (BYTES + 1))
    many = "".join(f'@id("{n}") permit (principal, action, resource);\n' for n in range(POLICIES + 1))
    with pytest.raises(InvalidInput, match="more than 2000 policies"):
        read_policies(many)
    deep = "(" * 3 + "true" + f"{' && true' * 39})" * 3
    with pytest.raises(InvalidInput, match="more than 100 levels"):
        read_policies(f"{P} when {{ {deep} }};")


def test_nothing_is_no_policy() -> None:
    assert read_policies("") == read_policies("// only words\n") == ()
    assert isinstance(read_policies(f"{P};")[0], Policy)
