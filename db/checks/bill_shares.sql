-- The shares of a charge are its total, divided as the provider's terms of that session say.
select b.id as bill, b.session_id as session, b.total_minor, b.operator_minor, b.provider_minor, due.operator_minor as due
from bill b
left join provider_terms t on t.provider_id = b.provider_id and t.version = b.terms_version
cross join lateral (
    select least(b.total_minor, greatest(t.operator_min_minor, least(
        coalesce(t.operator_max_minor, 9223372036854775807),
        round(b.total_minor::numeric * t.operator_bp / 10000)::bigint + t.operator_fixed_minor))) as operator_minor) due
where b.kind = 'charge'
and (b.operator_minor + b.provider_minor <> b.total_minor
    or b.operator_minor is distinct from due.operator_minor
    or b.operator_vat_minor > b.vat_minor
    or b.vat_minor > b.total_minor)
