-- Every bill in the order of issue: what was used, what it cost, and who gets what of it.
-- $1 from: bills issued at this time or later
-- $2 to: bills issued before this time
-- $3 provider: this provider's only
-- $4 after: go on after this row
-- $5 limit: at most so many rows
select b.id as bill, b.session_id as session, b.revision, b.issued_at, b.provider_id as provider, b.site_id as site,
    b.station_id as station, b.connector, b.driver_id as driver, b.token_masked as token, b.started_at, b.ended_at,
    b.energy_wh, b.seconds, b.tariff_id as tariff, b.tariff_version, b.terms_version, b.means, b.psp, b.currency,
    b.total_minor, b.vat_minor, b.not_charged_minor, b.operator_minor as operator_share_minor,
    b.operator_vat_minor, b.provider_minor as provider_share_minor,
    array_to_string(b.flags, ' ') as flags, json_build_array(b.issued_at, b.id)::text as _cursor
from bill b
where b.issued_at >= coalesce($1::timestamptz, '-infinity')
and b.issued_at < coalesce($2::timestamptz, 'infinity')
and ($3::text is null or b.provider_id = $3)
and (b.issued_at, b.id) > (
    coalesce(($4::jsonb ->> 0)::timestamptz, '-infinity'),
    coalesce(($4::jsonb ->> 1)::uuid, '00000000-0000-0000-0000-000000000000'))
order by b.issued_at, b.id
limit $5::bigint
