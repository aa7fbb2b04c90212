-- Versions of tariffs, and when each may be used.

-- name: show_overlapping_tariff
-- The version whose validity has an instant in common with another one's ($2 to $3, exclusive; null for no end); the
-- same document again ($4) is no other one.
select version, valid_from, valid_until
from tariff
where id = $1
and (valid_from is not null or valid_until is not null)
and tstzrange(valid_from, valid_until) && tstzrange($2, $3)
and document <> $4::text::jsonb
order by version desc
limit 1;

-- name: add_tariff
-- Adds a version of a tariff, unless the newest is the same already; answers the version that stands.
with newest as (
    select version, document, hold_minor, provider_id
    from tariff
    where id = $1
    order by version desc
    limit 1),
added as (
    insert into tariff (
        id, version, provider_id, currency, document, hold_minor, created_at, valid_from, valid_until)
    select $1, coalesce((select version from newest), 0) + 1, $2::text, $3::text, $4::text::jsonb, $5::bigint, $6,
        $7::timestamptz, $8::timestamptz
    where not exists (
        select from newest
        where document = $4::text::jsonb
        and hold_minor = $5::bigint
        and provider_id is not distinct from $2::text)
    returning version)
select coalesce((select version from added), (select version from newest)) as version,
    exists (select from added) as is_new;

-- name: show_quote
-- What a use that starts at a station now ($2) is priced by: the tariff version in force, and the zone of its site.
select t.id, t.version, t.document::text as document, site.time_zone
from station s
join tariff t on t.id = s.tariff_id
left join site on site.id = s.site_id
where s.id = $1
and (t.valid_from is null or t.valid_from <= $2)
and (t.valid_until is null or t.valid_until > $2)
order by t.version desc
limit 1;
