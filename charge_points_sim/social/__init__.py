"""A social-payment server: identity tokens, payments, settlements; strict rules, switchable faults."""
