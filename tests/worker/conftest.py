"""One social-payment server for the tests of the worker."""

from tests.psp.conftest import social, social_process

__all__ = ["social", "social_process"]
