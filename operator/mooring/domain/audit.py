"""What the audit record speaks of: every action and every fact, each with its sentence. The reference is made of these.

An action or a fact is part of the API: people and tools match on it. Add freely, rename never. No fact is a value of a
credential; a fingerprint (see `domain.fingerprints`) says which one is meant.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Action(StrEnum):
    """What was done with a credential."""

    TOKEN_MINTED = "token.minted", "A token of an installation was made; `consumer` is the namespace that it is for."
    TOKEN_REVOKED = (
        "token.revoked",
        "A token of an installation was ended at GitHub, because nobody may use it any more.",
    )
    TOKEN_NOT_REVOKED = (
        "token.not_revoked",
        "A token of an installation could not be ended in time; it ends by itself within the hour.",
    )
    TOKEN_REFUSED = "token.refused", "GitHub or a rule refused a token; `reason` says why."
    TOKEN_SET = "token.set", "An object that had no token got one."
    TOKEN_CHANGED = "token.changed", "Another token took the place of the one before."
    TOKEN_REMOVED = "token.removed", "An object lost its token."
    TOKEN_GIVEN = "token.given", "A Project's token was written into the Secret of its workload."
    TOKEN_REPLACED = "token.replaced", "The token in the Secret of a workload was replaced, or put back after an edit."
    TOKEN_USED = "token.used", "A workload was rolled out with a token."
    TOKEN_WITHDRAWN = "token.withdrawn", "A workload has no token any more: the Secret with it was deleted."
    TOKEN_COPIED = "token.copied", "A token was written into a Secret that Mooring keeps."
    TOKEN_COPY_REMOVED = "token.copy_removed", "A Secret with a token that Mooring kept was deleted."
    WEBHOOK_KEYS_MADE = "webhook.keys_made", "The keys that operator and gateway share were made, or made anew."
    HOOK_MADE = "hook.made", "A webhook of a repository was made at GitHub."
    HOOK_CHANGED = "hook.changed", "A webhook of a repository was put right at GitHub, or given a new secret."
    HOOK_REMOVED = "hook.removed", "A webhook of a repository was removed at GitHub: no Project needs it any more."
    HOOK_LEFT = "hook.left", "A webhook of a repository could not be removed at GitHub, and stays; `reason` says why."
    DELIVERY_REPEATED = "delivery.repeated", "GitHub was asked to send a delivery that had failed once more."
    DELIVERY_RECEIVED = "delivery.received", "A webhook was answered; `outcome` says what became of it."

    sentence: str

    def __new__(cls, value: str, sentence: str) -> Self:
        """Keep the sentence beside the value."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member


FACTS = {
    "actor": "who asked for it, where that is known: a login or a field manager",
    "delivery": "the GUID of a webhook's delivery, as its sender says",
    "event": "the event of a webhook",
    "outcome": "what became of a webhook: recorded, duplicate, superseded, ignored, ping, malformed or unavailable",
    "projects": "how many Projects a webhook concerns",
    "consumer": "the namespace that a token of an installation is for, where it is another or was just made",
    "expires_at": "when the token ends, in RFC 3339",
    "fingerprint": "which token it is now, within this object",
    "hook": "GitHub's id of the webhook",
    "repository": "GitHub's id of the repository",
    "login": "whose token it is, as GitHub says",
    "permissions": "what a token of an installation may do, as GitHub says",
    "previous": "the fingerprint of the token before",
    "purpose": "what it is for: output, clone, or reading (such a token is given to nobody)",
    "reason": "the reason of the condition that goes with it",
    "repositories": "how many repositories a token of an installation is for; none said: all of the installation's",
    "revision": "the commit that the workload runs",
    "secret": "the Secret that was read or written, in the object's namespace",
    "source": "where the workload's token comes from: project, global or none",
    "token_kind": "what kind of token it is: classic, fine-grained, …",
    "trigger": "what caused it: Create, Spec, Push, Poll, Token, Manual or Rollback",
    "user": "the GitHubUser whose token it is, as namespace/name",
}
