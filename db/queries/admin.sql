-- What staff change: providers, sites, stations, tariffs.

-- name: read_credential_pepper
-- The key of this installation's credential seals.
select installation_key();

-- name: add_provider
-- Adds a provider with the first version of its terms; no row comes back when the id is taken.
with added as (
    insert into provider (id, name, psp_accounts, terms_version, created_at)
    values ($1, $2, $3::text::jsonb, 1, $8)
    on conflict (id) do nothing
    returning id)
insert into provider_terms (
    provider_id, version, operator_bp, operator_fixed_minor, operator_min_minor, operator_max_minor, created_at)
select id, 1, $4, $5, $6, $7, $8
from added
returning provider_id;

-- name: lock_provider_to_change
-- One provider, kept from other writers until the transaction ends.
select id, name, psp_accounts::text as psp_accounts, terms_version
from provider
where id = $1
for update;

-- name: change_provider
-- Sets a provider's name, accounts and the version of its terms.
update provider
set name = $2, psp_accounts = $3::text::jsonb, terms_version = $4
where id = $1;

-- name: add_provider_terms
-- Adds a version of a provider's terms; sessions already running keep the version they began with.
insert into provider_terms (
    provider_id, version, operator_bp, operator_fixed_minor, operator_min_minor, operator_max_minor, created_at)
values ($1, $2, $3, $4, $5, $6, $7);

-- name: show_provider
-- One provider with its terms in force.
select p.id, p.name, p.psp_accounts::text as psp_accounts, p.terms_version, t.operator_bp, t.operator_fixed_minor,
    t.operator_min_minor, t.operator_max_minor, p.created_at
from provider p
join provider_terms t on t.provider_id = p.id and t.version = p.terms_version
where p.id = $1;

-- name: list_providers
-- Providers by id.
select p.id, p.name, p.psp_accounts::text as psp_accounts, p.terms_version, t.operator_bp, t.operator_fixed_minor,
    t.operator_min_minor, t.operator_max_minor, p.created_at
from provider p
join provider_terms t on t.provider_id = p.id and t.version = p.terms_version
where p.id > $1
order by p.id
limit $2;

-- name: add_site
-- Adds a site; no row comes back when the id is taken.
insert into site (id, provider_id, name, time_zone, created_at, host_bp, host_name, power_cap_w, region, tags)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict (id) do nothing
returning id;

-- name: show_site
-- One site.
select id, provider_id, name, time_zone, host_bp, host_name, power_cap_w, region, tags, created_at
from site
where id = $1;

-- name: list_sites
-- Sites by id.
select id, provider_id, name, time_zone, host_bp, host_name, power_cap_w, region, tags, created_at
from site
where id > $1
order by id
limit $2;

-- name: lock_site_to_change
-- What of a site may change, kept from other writers until the transaction ends.
select host_bp, host_name, power_cap_w, region, tags
from site
where id = $1
for update;

-- name: change_site
-- Who hosts a site, the share of sessions that start from now on, what its battery stations may draw, its region and tags.
update site
set host_bp = $2, host_name = $3, power_cap_w = $4, region = $5, tags = $6
where id = $1;

-- name: site_to_tag
-- A site, there until the transaction ends.
select id
from site
where id = $1
for key share;

-- name: add_outlet
-- Gives a site the outlet with tag $1; no row comes back when the tag is taken.
insert into outlet_tag (tag, site_id, created_at)
values ($1, $2, $3)
on conflict (tag) do nothing
returning tag;

-- name: show_outlet
-- One outlet.
select tag, site_id, created_at
from outlet_tag
where tag = $1;

-- name: list_outlets
-- The outlets of site $1 by tag.
select tag, site_id, created_at
from outlet_tag
where site_id = $1
and tag > $2
order by tag
limit $3;

-- name: remove_outlet
-- Takes an outlet away from its site.
delete from outlet_tag
where tag = $1
and site_id = $2
returning tag;

-- name: add_station
-- Adds a station; no row comes back when the id is taken.
insert into station (
    id, kind, provider_id, site_id, tariff_id, security_profile, credential, strict, assume_protocol, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict (id) do nothing
returning id;

-- name: put_connectors
-- Adds connectors, and changes kind and power of those there are; nothing is taken away. A station with a portable one is
-- a portable charger.
with put as (
    insert into connector (station_id, number, kind, max_power_w)
    select $1, c.number, c.kind, c.max_power_w
    from unnest($2::integer[], $3::text[], $4::integer[]) c (number, kind, max_power_w)
    order by c.number
    on conflict (station_id, number) do update
    set kind = excluded.kind, max_power_w = excluded.max_power_w
    returning number, kind)
update station
set portable = exists (select from put where kind = 'portable')
    or exists (
        select from connector c
        where c.station_id = $1
        and c.kind = 'portable'
        and c.number <> all (array(select number from put)))
where id = $1;

-- name: lock_station_to_change
-- One station, kept from other writers until the transaction ends.
select id, kind, provider_id, site_id, tariff_id, security_profile, credential, strict, assume_protocol
from station
where id = $1
for update;

-- name: epoch_of_station
-- The epoch of a station's newest connection.
select epoch
from station
where id = $1;

-- name: change_station
-- Sets what staff may change of a station.
update station
set site_id = $2, security_profile = $3, credential = $4, strict = $5, assume_protocol = $6
where id = $1;

-- name: set_station_tariff
-- Prices a station's coming sessions by a tariff, whichever is its newest version when they start.
update station
set tariff_id = $2
where id = $1;

-- name: has_history
-- Whether anything was recorded of a station that its removal would orphan.
select exists (select from session where station_id = $1)
    or exists (select from parked_report where station_id = $1)
    or exists (select from psp_authorization where station_id = $1)
    or exists (select from command where station_id = $1)
    or exists (select from token where station_id = $1);

-- name: remove_connectors
-- Removes a station's connectors, before itself.
delete from connector
where station_id = $1;

-- name: remove_station
-- Removes a station that has no connectors left.
delete from station
where id = $1;

-- name: show_station
-- One station with its connectors as a JSON array.
select s.id, s.kind, s.provider_id, s.site_id, s.tariff_id, s.security_profile, s.credential is not null as has_password,
    s.strict, s.assume_protocol, s.vendor, s.model, s.serial, s.firmware, s.protocol, s.booted_at, s.connected_at,
    s.created_at,
    (select coalesce(json_agg(json_build_object('number', c.number, 'kind', c.kind, 'max_power_w', c.max_power_w,
        'status', c.status, 'error_code', c.error_code, 'status_at', c.status_at) order by c.number), '[]')::text
     from connector c
     where c.station_id = s.id
     and c.number > 0) as connectors
from station s
where s.id = $1;

-- name: list_stations
-- Stations by id, of one provider or site when given, with their connectors as a JSON array.
select s.id, s.kind, s.provider_id, s.site_id, s.tariff_id, s.security_profile, s.credential is not null as has_password,
    s.strict, s.assume_protocol, s.vendor, s.model, s.serial, s.firmware, s.protocol, s.booted_at, s.connected_at,
    s.created_at,
    (select coalesce(json_agg(json_build_object('number', c.number, 'kind', c.kind, 'max_power_w', c.max_power_w,
        'status', c.status, 'error_code', c.error_code, 'status_at', c.status_at) order by c.number), '[]')::text
     from connector c
     where c.station_id = s.id
     and c.number > 0) as connectors
from station s
where s.id > $1
and ($3::text is null or s.provider_id = $3)
and ($4::text is null or s.site_id = $4)
order by s.id
limit $2;

-- name: lock_tariff
-- Lets one writer at a time add versions of a tariff.
select pg_advisory_xact_lock(hashtext('tariff'), hashtext($1::text));

-- name: show_newest_tariff
-- The newest version of a tariff.
select id, version, provider_id, currency, document::text as document, hold_minor, created_at
from tariff
where id = $1
order by version desc
limit 1;

-- name: show_tariff_version
-- One version of a tariff.
select id, version, provider_id, currency, document::text as document, hold_minor, created_at
from tariff
where id = $1
and version = $2;

-- name: list_tariffs
-- Tariffs by id, the newest version of each.
select distinct on (id) id, version, provider_id, currency, document::text as document, hold_minor, created_at
from tariff
where id > $1
order by id, version desc
limit $2;
