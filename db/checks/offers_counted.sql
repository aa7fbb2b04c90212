-- Every offer is counted where it was made, and again where it was taken, of its product and for whose it is.
-- Offers that nobody took are deleted, the oldest first: as long as one is stored, so are all that were made after it.
with stored as (
    select o.product_id, o.product_version, unit_of('15 minutes', i.asked_at) as began, count(*) as offered,
        count(o.voucher_id) as taken
    from voucher_offer o
    join voucher_inquiry i on i.id = o.inquiry_id
    group by 1, 2, 3),
oldest as (
    select min(i.asked_at) as asked_at
    from voucher_offer o
    join voucher_inquiry i on i.id = o.inquiry_id
    where o.voucher_id is null
    and not exists (select from voucher_payment p where p.offer_id = o.id))
select product_id as product, product_version as version, began, c.provider_id, c.offered, s.offered as stored, c.taken,
    s.taken as took
from stored s
full join voucher_offered c using (product_id, product_version, began)
join voucher_product p on p.id = product_id and p.version = product_version
where coalesce(c.taken, 0) <> coalesce(s.taken, 0)
or coalesce(c.offered, 0) < coalesce(s.offered, 0)
or coalesce(c.offered, 0) > coalesce(s.offered, 0) and began > (select asked_at from oldest)
or c.provider_id is distinct from p.provider_id
