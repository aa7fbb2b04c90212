-- The shares of a charge are its total, divided as the provider's terms of that session say; the host's as the session does.
select b.id as bill, b.session_id as session, b.total_minor, b.operator_minor, b.provider_minor, b.host_minor,
    due.operator_minor as due, hosts.host_minor as host_due
from bill b
left join session s on s.station_id = b.station_id and s.id = b.session_id
left join provider_terms t on t.provider_id = b.provider_id and t.version = b.terms_version
cross join lateral (
    select least(b.total_minor, greatest(t.operator_min_minor, least(
        coalesce(t.operator_max_minor, 9223372036854775807),
        round(b.total_minor::numeric * t.operator_bp / 10000)::bigint + t.operator_fixed_minor))) as operator_minor) due
cross join lateral (
    select least(b.total_minor - due.operator_minor, round(b.total_minor::numeric * coalesce(s.host_bp, 0) / 10000)::bigint)
        as host_minor) hosts
where b.kind = 'charge'
and (b.operator_minor + b.provider_minor + b.host_minor <> b.total_minor
    or b.operator_minor is distinct from due.operator_minor
    or b.host_minor is distinct from hosts.host_minor
    or b.operator_vat_minor > b.vat_minor
    or b.vat_minor > b.total_minor)
