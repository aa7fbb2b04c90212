"""Where to look after the demo: what still runs, and what to read."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from charge_points_sim.rest import Rest
from charge_points_sim.social.client import SocialClient
from charge_points_sim.terminal import Terminal

BIN = Path(sys.executable).parent
"""Where the commands `csms` and `charge-points-sim` are installed."""


def say_addresses(
    terminal: Terminal, rest: Rest, ocpp: str, password: str, social: SocialClient, data: Path
) -> None:  # fmt: skip
    """Of a system that stays up, with its database in the folder `data`."""
    client_id, secret = rest.credentials
    terminal.step("REST, described", f"{rest.url}/docs")
    terminal.step("a client of it", f"id {client_id}  secret {secret}")
    terminal.step("bills", f"{os.path.relpath(BIN / 'csms')} report bills --data-dir {data}")
    terminal.step("rentals", f"{rest.url}/api/v1/rentals")
    terminal.step("swaps", f"{rest.url}/api/v1/swaps")
    terminal.step("packs", f"{os.path.relpath(BIN / 'csms')} report packs --data-dir {data}")
    terminal.step("vouchers", f"{os.path.relpath(BIN / 'csms')} report vouchers --data-dir {data}")
    terminal.step("metrics", f"{rest.url}/metrics")
    terminal.step("the social-payment server's journal", f"curl -u {social.secret}: {social.url}/v1/journal")
    terminal.step("stations connect to", f"{ocpp}/STATION-ID  password of all {password}")


def say_pages(terminal: Terminal) -> None:
    """What each act is by hand."""
    terminal.step("docs/tutorial/first-charge.md", "the first act by hand, one charge")
    terminal.step("docs/tutorial/lend-a-charger.md", "the second act by hand, one charger")
    terminal.step("docs/tutorial/swap-a-battery.md", "the third act by hand, two packs")
    terminal.step("docs/tutorial/buy-a-voucher.md", "the fourth act by hand, one voucher")
    terminal.step("docs/how-to/simulate-stations.md", "the whole year: 22,492 sessions at full speed")
