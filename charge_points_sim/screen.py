"""`charge-points-sim screen`: the code that a cabinet's screen shows now, for whoever tries out an app by hand."""

from __future__ import annotations

import argparse
import binascii
import sys
import time
from collections.abc import Sequence

from charge_points_sim.devices.presence import code, secret_of


def main(argv: Sequence[str]) -> int:
    """0: shown, 2: this is no secret."""
    p = argparse.ArgumentParser(prog="charge-points-sim screen", description=__doc__)
    p.add_argument("secret", help="the cabinet's, in base32, as PUT /stations/{station}/presence answered it")
    p.add_argument("--ago", type=int, default=0, metavar="SECONDS", help="what it showed then (now)")
    args = p.parse_args(argv)
    try:
        secret = secret_of(args.secret)
    except binascii.Error:
        print("charge-points-sim screen: a secret is base32 text", file=sys.stderr)
        return 2
    print(code(secret, int(time.time()) - args.ago))
    return 0
