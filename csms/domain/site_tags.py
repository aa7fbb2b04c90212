"""Tags of sites: short words of the operator's, by which conditions of vouchers name many sites at once."""

from __future__ import annotations

import re

from csms.base.errors import Refused
from csms.domain.tariff_reading import listed

TAGS_MAX = 16
"""Of one site, and of one product."""

TAG = r"[a-z0-9][a-z0-9_-]{0,23}"
_TAG = re.compile(TAG)


def read(value: object, at: str) -> frozenset[str]:
    """A list of 1 to `TAGS_MAX` tags; Refused, with the JSON pointer of the place, for what is none."""
    tags = listed(value, TAGS_MAX, at)
    for place, tag in enumerate(tags):
        if not isinstance(tag, str) or not _TAG.fullmatch(tag):
            raise Refused("a tag is 1 to 24 of a-z, 0-9, - and _, a letter or digit first", f"{at}/{place}")
    return frozenset(str(tag) for tag in tags)
