-- A small world for tests: provider P (10 % to the operator), stations S1 and S2, a driver with a balance, tokens.
insert into provider (id, name, psp_accounts, terms_version, created_at)
values ('P', 'Provider P', '{"social": "seller-p"}', 1, now());

insert into provider_terms (provider_id, version, operator_bp, created_at)
values ('P', 1, 1000, now());

insert into site (id, provider_id, name, time_zone, created_at)
values ('site', 'P', 'Site', 'Asia/Seoul', now());

insert into tariff (id, version, provider_id, currency, document, hold_minor, created_at)
values ('T', 1, 'P', 'KRW',
    '{"country_code": "KR", "party_id": "CSM", "id": "T", "currency": "KRW", "tax_included": "YES",
      "elements": [{"price_components": [{"type": "ENERGY", "price": 300, "vat": 10, "step_size": 1}]}],
      "last_updated": "2026-01-01T00:00:00Z"}', 30000, now());

insert into station (id, kind, provider_id, site_id, tariff_id, created_at)
values ('S1', 'charger', 'P', 'site', 'T', now()), ('S2', 'charger', 'P', 'site', 'T', now()),
    ('BARE', 'charger', 'P', 'site', null, now());

insert into connector (station_id, number, kind, max_power_w)
values ('S1', 1, 'outlet', 22000), ('S1', 2, 'outlet', 22000), ('S2', 1, 'outlet', 22000);

insert into driver (id, name, created_at)
values ('ann', 'Ann', now()), ('bob', 'Bob', now()), ('eve', 'Eve', now());
update driver set status = 'blocked' where id = 'eve';

insert into token (key, value, type, driver_id, status, created_at)
select sha256(convert_to(text, 'UTF8')), text, 'rfid', driver_id, status, now()
from (values ('A0A0A0A0', 'ann', 'accepted'), ('B0B0B0B0', 'bob', 'accepted'), ('E0E0E0E0', 'eve', 'accepted'),
    ('AB10AB10', 'ann', 'blocked')) t (text, driver_id, status);

insert into token (key, type, psp, issuer, subject, station_id, single_use, created_at)
select sha256(convert_to(text, 'UTF8')), 'social', 'social', 'https://social.example', subject, 'S1', true, now()
from (values ('50C1A100', 'sue'), ('50C1A200', 'tom')) t (text, subject);

select post(
    array[(gen_random_uuid(), 'seed/ann', 'top_up', 'driver/ann', now())]::posting_in[],
    array[(1, 1, 'psp:social:clearing', 'driver:ann:balance', 'KRW', 50000)]::transfer_in[]);
