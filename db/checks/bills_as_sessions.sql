-- The bills of a session, credits included, add up to its energy and its fee, and name its parties.
select b.session_id as session, sum(b.energy_wh) as energy_wh, s.energy_wh as session_wh,
    sum(b.total_minor) as total_minor, s.fee_minor
from bill b
join session s on s.station_id = b.station_id and s.id = b.session_id
where s.state in ('completed', 'provisional')
group by b.session_id, s.energy_wh, s.fee_minor, s.currency, s.provider_id, s.tariff_id, s.tariff_version, s.terms_version,
    s.revision
having (sum(b.energy_wh), sum(b.total_minor), max(b.revision), count(*)) is distinct from
    (s.energy_wh, s.fee_minor, s.revision, s.revision)
or bool_or((b.currency, b.provider_id, b.tariff_id, b.tariff_version, b.terms_version)
    is distinct from (s.currency, s.provider_id, s.tariff_id, s.tariff_version, s.terms_version))
