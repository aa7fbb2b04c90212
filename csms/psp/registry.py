"""Every payment service that can be set up, and how each is made from the settings: one function and one line each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from csms.base.errors import CsmsError
from csms.domain.authorization import Policy
from csms.psp.base import Psp
from csms.psp.social import Social, SocialSettings

Options = Any
"""The system's settings, read by name: this floor does not know their class."""


class NotSupported(CsmsError):
    """A setting that a payment service cannot do; the text names both."""


@dataclass(frozen=True, slots=True)
class SetUp:
    """A payment service at hand: how sessions are paid with it, and our own account there."""

    psp: Psp
    policy: Policy
    operator_account: str


def social(options: Options) -> SetUp | None:
    """The social-payment server, if its address is set."""
    if options.social_url is None or options.social_secret is None:
        return None
    url = options.social_url.rstrip("/")
    secrets = options.social_webhook_secrets
    settings = SocialSettings(
        url,
        options.social_secret.get_secret_value(),
        (options.social_issuer or url).rstrip("/"),
        options.social_audience,
        webhook_secrets=() if secrets is None else tuple(secrets.get_secret_value().split()),
    )
    return SetUp(Social(settings), options.social_policy, options.social_operator_account)


def stripe(options: Options) -> SetUp | None:
    """Stripe, if our secret there is set. Its SDK is imported only then: it takes a while."""
    if options.stripe_secret is None:
        return None
    from csms.psp.stripe import Stripe, StripeSettings

    secrets = options.stripe_webhook_secrets
    settings = StripeSettings(
        options.stripe_secret.get_secret_value(),
        options.stripe_operator_account,
        webhook_secrets=() if secrets is None else tuple(secrets.get_secret_value().split()),
        issuer=None if options.stripe_issuer is None else options.stripe_issuer.rstrip("/"),
        audience=options.stripe_audience,
        url=options.stripe_url.rstrip("/"),
    )
    return SetUp(Stripe(settings), options.stripe_policy, options.stripe_operator_account)


def portone(options: Options) -> SetUp | None:
    """PortOne, if our secret there is set. Its SDK is imported only then: it takes half a second."""
    if options.portone_secret is None:
        return None
    from csms.psp.portone import PortOne, PortOneSettings

    secrets = options.portone_webhook_secrets
    settings = PortOneSettings(
        options.portone_secret.get_secret_value(),
        options.portone_store,
        webhook_secrets=() if secrets is None else tuple(secrets.get_secret_value().split()),
        issuer=None if options.portone_issuer is None else options.portone_issuer.rstrip("/"),
        audience=options.portone_audience,
        url=options.portone_url.rstrip("/"),
    )
    return SetUp(PortOne(settings), options.portone_policy, options.portone_operator_account)


BUILDERS: tuple[Callable[[Options], SetUp | None], ...] = (social, stripe, portone)
"""In the order in which they are asked whose token a token is."""


def build(options: Options) -> dict[str, SetUp]:
    """
    The payment services that are set up, by name; called inside a running event loop.

    NotSupported when one cannot do the policy that is set for it.
    """
    found = {}
    for builder in BUILDERS:
        made = builder(options)
        if made is None:
            continue
        if made.policy not in made.psp.caps.policies:
            able = ", ".join(sorted(made.psp.caps.policies))
            raise NotSupported(f"{made.psp.name} cannot do {made.policy}; it can do {able}")
        found[made.psp.name] = made
    return found
