"""
What can go wrong in the world, as one small tree.

CsmsError
├── NotFound      the thing asked for does not exist, or is not yours to see
├── Refused       a person's request that breaks a rule; says which and what to do
├── Conflict      the request does not fit the present state, or repeats a key with another body
├── NotYet        it may still be done: ask again, a repeat has one effect
├── LostRace      a writer saw older rows than it thought (SQLSTATE CS001); load and decide again
└── WireError     a frame or payload that is not what its protocol says
"""

from __future__ import annotations


class CsmsError(Exception):
    """The root: every error of ours that an edge may turn into an answer."""


class NotFound(CsmsError):
    """No such object, or none that the asker may see."""


class Refused(CsmsError):
    """
    A person's request that breaks a rule.

    `reason` says what is wrong in words a person can act on; `field` names the part of the
    request it is about (a JSON pointer such as `/elements/0/price_components`), if one is.
    """

    def __init__(self, reason: str, field: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field


class Conflict(CsmsError):
    """The request is well made but does not fit what is stored."""


class NotYet(CsmsError):
    """What was asked is not written yet, and may still be: whoever asks again has it done once all the same."""


class LostRace(CsmsError):
    """Another writer was first: nothing was written, load again and decide again."""


class WireError(CsmsError):
    """
    A frame or payload that breaks its protocol.

    `code` is the OCPP-J error code to answer with (for example `FormationViolation`).
    """

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
