"""
What a use takes of vouchers is written down, and taken back when its bill is.

A voucher gets back what it gave, to the unit and to the minor, as long as its driver still has it. What is billed
anew takes of the vouchers that were valid when the use began, and of what is left in them now.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from csms.base.money import to_minor
from csms.domain import voucher
from csms.domain.assets import put_voucher
from csms.domain.books import Books
from csms.domain.pack_rows import VoucherUse
from csms.domain.session import Session
from csms.domain.tariff_own import Drawn
from csms.domain.voucher import TakenBack
from csms.domain.world import Changes, World


def take(world: World, changes: Changes, session: Session, drawn: Iterable[Drawn], at: datetime) -> None:
    """Writes down what the newest bill of a use took of each voucher; `session` is as that bill left it."""
    taken = [part for part in drawn if part.units]
    for part in taken:
        mine = world.assets.vouchers[part.voucher_id]
        put_voucher(world.assets, changes.assets, voucher.drawn_from(mine, part))
        value = to_minor(part.value, part.currency) if part.value else None
        changes.assets.voucher_uses.append(
            VoucherUse(mine.id, session.id, part.units, part.minor, at, value, session.revision)
        )
    books = world.books.get(session.id)
    if books is not None and taken:
        world.books[session.id] = replace(books, taken=(*books.taken, *taken))


def of(books: Books) -> frozenset[UUID]:
    """The vouchers that the bills of a session took of."""
    return frozenset(part.voucher_id for part in books.taken)


def is_gone(world: World, session: Session) -> bool:
    """Whether something of what it took cannot come back: a voucher was given back, or has lapsed."""
    return any(part.voucher_id not in world.assets.vouchers for part in world.books[session.id].taken)


def take_back(world: World, changes: Changes, session: Session, revision: int, at: datetime) -> TakenBack:
    """
    Lets credit number `revision` of a use return what its bills took of vouchers.

    Its books and its driver's vouchers are loaded, and none of them `is_gone`.
    """
    books = world.books[session.id]
    for part in books.taken:
        mine = world.assets.vouchers[part.voucher_id]
        put_voucher(world.assets, changes.assets, voucher.put_back(mine, part))
        value = -to_minor(part.value, part.currency) if part.value else None
        changes.assets.voucher_uses.append(
            VoucherUse(mine.id, session.id, -part.units, -part.minor, at, value, revision)
        )
    world.books[session.id] = replace(books, taken=())
    return voucher.draw_up(session.id, books.taken)
