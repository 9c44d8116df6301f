"""The roles of the operator's pages, and the lists that say who has which. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from gateway.settings.values import split_list

EVERYBODY = "*"
GROUP_PREFIX = "group:"
MAX_NAME_CHARS = 254
"""The longest address that e-mail can be sent to: www.rfc-editor.org/errata/eid1690"""


class Role(StrEnum):
    """What a signed-in person may do."""

    VIEWER = "viewer"
    """Sees every page and changes nothing."""
    OPERATOR = "operator"
    """Does everything."""


class SignInMethod(StrEnum):
    """How a person has shown who they are."""

    PASSWORD = "password"  # noqa: S105  # the name of a method
    OIDC = "oidc"
    PROXY = "proxy"


@dataclass(frozen=True, slots=True)
class AdminUser:
    """A signed-in person."""

    name: str
    """For the audit trail: an e-mail address, or the role of whoever knows a password."""
    role: Role
    method: SignInMethod

    @property
    def may_change(self) -> bool:
        return self.role is Role.OPERATOR


@dataclass(frozen=True, slots=True)
class Identity:
    """What a provider or a proxy says of a person."""

    email: str
    """In small letters; empty when it says none, or does not vouch for it."""
    groups: frozenset[str] = frozenset()
    name: str = ""
    """What to call a person without an e-mail address."""
    has_unverified_email: bool = False
    """Whether there is an address that nobody vouches for, which is left out."""

    @property
    def label(self) -> str:
        """What the person is called in the audit trail."""
        return (self.email or self.name)[:MAX_NAME_CHARS]


@dataclass(frozen=True, slots=True)
class AccessList:
    """People by e-mail address, domain or group."""

    emails: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    everybody: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ``ann@example.com, @example.com, group:ops, *``. Raises ValueError for anything else."""
        emails, domains, groups, everybody = set[str](), set[str](), set[str](), False
        for item in split_list(text):
            before, at, domain = item.partition("@")
            if item == EVERYBODY:
                everybody = True
            elif item.startswith(GROUP_PREFIX) and item != GROUP_PREFIX:
                groups.add(item.removeprefix(GROUP_PREFIX))
            elif at and domain and "@" not in domain and " " not in item:
                (emails if before else domains).add((item if before else domain).lower())
            else:
                raise ValueError("must be a list of addresses, @domains, group:names or *, such as ann@example.com")
        return cls(frozenset(emails), frozenset(domains), frozenset(groups), everybody)

    def admits(self, identity: Identity) -> bool:
        domain = identity.email.rpartition("@")[2]
        return (
            self.everybody
            or bool(identity.groups & self.groups)
            or (bool(identity.email) and (identity.email in self.emails or domain in self.domains))
        )

    def __bool__(self) -> bool:
        return self.everybody or bool(self.emails or self.domains or self.groups)


@dataclass(frozen=True, slots=True)
class RoleLists:
    """Who has which role, of those that a provider or a proxy vouches for."""

    operators: AccessList = AccessList()
    viewers: AccessList = AccessList()

    def role_of(self, identity: Identity) -> Role | None:
        """Returns the person's role, the higher one of two; None if they may not see the pages."""
        if self.operators.admits(identity):
            return Role.OPERATOR
        return Role.VIEWER if self.viewers.admits(identity) else None

    @property
    def has_everybody(self) -> bool:
        return self.operators.everybody or self.viewers.everybody

    def __bool__(self) -> bool:
        return bool(self.operators or self.viewers)


def read_email(text: str) -> str:
    """Returns an e-mail address in small letters; empty for what is none, such as a list of two."""
    text = text.strip()
    before, at, domain = text.partition("@")
    is_one = bool(before and at and domain) and "@" not in domain and len(text) <= MAX_NAME_CHARS
    return text.lower() if is_one and text.isprintable() and not set(text) & set(' ,;<>"') else ""
