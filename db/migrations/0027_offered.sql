-- How often products were offered, counted where offers are made: those that nobody took are deleted after a month. And
-- vouchers that wait for their station are found by it.

create table voucher_offered (
    product_id text not null,
    product_version integer not null,
    began timestamptz not null check (began = unit_of('15 minutes', began)),
    provider_id text references provider,
    offered bigint not null check (offered > 0),
    taken bigint not null default 0 check (taken between 0 and offered),
    primary key (product_id, product_version, began),
    foreign key (product_id, product_version) references voucher_product
) with (fillfactor = 70);
comment on table voucher_offered is 'by the quarter of an hour in which a vehicle asked, of which the days of every zone are made';
comment on column voucher_offered.provider_id is 'whose product it is; null: the operator''s';
comment on column voucher_offered.taken is 'how many of these offers have bought a voucher';

insert into voucher_offered (product_id, product_version, began, provider_id, offered, taken)
select o.product_id, o.product_version, unit_of('15 minutes', i.asked_at), p.provider_id, count(*), count(o.voucher_id)
from voucher_offer o
join voucher_inquiry i on i.id = o.inquiry_id
join voucher_product p on p.id = o.product_id and p.version = o.product_version
group by 1, 2, 3, 4;

-- Offers themselves a provider does not see: what a voucher would have saved a driver tells of charging elsewhere, too.
select guard('voucher_offered', 'provider_id = own_provider()', null);

create index outbox_deliveries on outbox ((payload ->> 'station'))
    where kind = 'voucher.deliver' and state = 'waiting';

-- Vouchers that wait for these stations to be there are due in so long; what a worker writes just now is left alone. It is
-- planned each time: every station that is let in waits for it, and a plan that was made while the table was empty is slow.
create function hurry_deliveries(stations text[], settled_in interval) returns void language sql
set plan_cache_mode = force_custom_plan as $$
    with waiting as materialized (
        select id
        from outbox
        where kind = 'voucher.deliver'
        and state = 'waiting'
        and payload ->> 'station' = any (stations)
        and result ->> 'pending' = 'away'
        and next_at > now() + settled_in
        order by id
        for update skip locked)
    update outbox o
    set next_at = now() + settled_in
    from waiting w
    where o.id = w.id
$$;

select give_all_to_owner();
