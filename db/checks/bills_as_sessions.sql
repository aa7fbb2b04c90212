-- A bill tells the energy, the fee and the parties of its session.
select b.id as bill, b.session_id as session, b.energy_wh, s.energy_wh as session_wh, b.total_minor, s.fee_minor
from bill b
join session s on s.station_id = b.station_id and s.id = b.session_id
where not exists (select from bill later where later.session_id = b.session_id and later.revision > b.revision)
and (b.energy_wh, b.total_minor, b.currency, b.provider_id, b.tariff_id, b.tariff_version, b.terms_version)
    is distinct from
    (s.energy_wh, s.fee_minor, s.currency, s.provider_id, s.tariff_id, s.tariff_version, s.terms_version)
