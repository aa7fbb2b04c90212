-- Every bill and credit in the order of issue: what was used, what it cost, and who gets what of it.
-- $1 from: bills issued at this time or later
-- $2 to: bills issued before this time
-- $3 provider: this provider's only
-- $4 after: go on after this row
-- $5 limit: at most so many rows
-- $6 as_of: issued up to this time, as they were first known for it
-- $7 era: of the snapshot of as_of
-- $8 snapshot: of as_of
-- $9 station: of this station
-- $10 driver: of this driver
-- $11 tariff: priced by this tariff
-- $12 connector_kind: used at a connector of this kind
-- $13 currency: in this currency
-- $14 site: at this site
select b.id as bill, b.session_id as session, b.revision, b.kind, b.corrects, b.issued_at, b.provider_id as provider,
    b.site_id as site, b.station_id as station, b.connector, b.driver_id as driver, b.token_masked as token,
    b.started_at, b.ended_at, b.energy_wh, b.seconds, b.tariff_id as tariff, b.tariff_version, b.terms_version, b.means,
    b.psp, b.currency, b.total_minor, b.vat_minor, b.not_charged_minor, b.operator_minor as operator_share_minor,
    b.operator_vat_minor, b.provider_minor as provider_share_minor, b.host_minor as host_share_minor, b.shares_by,
    array_to_string(b.flags, ' ') as flags, b.reason, b.made_by,
    json_build_array(b.issued_at, b.id)::text as _cursor,
    json_build_object('path', '/bills/' || b.id || '/transfers')::text as _link
from bill b
where b.issued_at >= greatest(
    coalesce($1::timestamptz, '-infinity'), coalesce(($4::jsonb ->> 0)::timestamptz, '-infinity'))
and b.issued_at < coalesce($2::timestamptz, 'infinity')
and b.issued_at <= coalesce($6::timestamptz, 'infinity')
and in_snapshot(b.era, b.xid, $7::smallint, $8::text::pg_snapshot)
and ($3::text is null or b.provider_id = $3)
and ($9::text is null or b.station_id = $9)
and ($10::text is null or b.driver_id = $10)
and ($11::text is null or b.tariff_id = $11)
and ($12::text is null or exists (
    select from connector c where c.station_id = b.station_id and c.number = b.connector and c.kind = $12))
and ($13::text is null or b.currency = $13)
and ($14::text is null or b.site_id = $14)
and ($4::jsonb is null
    or (b.issued_at, b.id) > (($4::jsonb ->> 0)::timestamptz, ($4::jsonb ->> 1)::uuid))
order by b.issued_at, b.id
limit $5::bigint
