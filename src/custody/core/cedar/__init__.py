"""A subset of the Cedar policy language: parsed, printed and decided with the standard library alone.

The language is that of <https://docs.cedarpolicy.com>: `permit` and `forbid` with a scope and conditions, deny by
default, `forbid` over `permit`. Left out are templates, action groups, arithmetic, tags and extension types; a text
that uses them is refused, never read in part. Two rules are stricter than Cedar's own. A policy has an `@id`, by which
decisions name it. And where Cedar skips a policy that fails while it is evaluated, here any failure denies.
"""
