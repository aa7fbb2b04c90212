"""Vouchers that are offered: products on sale, chosen by how a driver charged, each offer signed and stored."""

from __future__ import annotations

from csms.db import Record
from csms.domain import voucher_terms
from csms.domain.offers import Product
from csms.flows.vouchers import ProductSpec, terms_text


def product_of(row: Record) -> Product:
    """A version of a product that is stored, as choosing sees it."""
    names = ("id", "version", "unit", "amount", "price_minor", "currency", "valid_days", "uses_max", "provider_id")
    terms = voucher_terms.stored(terms_text(row), row["unit"])
    return Product(terms=terms, **{name: row[name] for name in names})


def product_of_spec(spec: ProductSpec) -> Product:
    """A product that somebody thinks of: version 0, of no provider."""
    terms = voucher_terms.read(spec.effect, spec.conditions, spec.unit)
    return Product(
        spec.id, 0, spec.unit, spec.amount, spec.price.minor, spec.price.currency, spec.valid_days, spec.uses_max, terms
    )
