-- An offer bought what it offered, for the driver it was made to; what a psp took for one is in the balance.
select o.id as offer, v.id as voucher, null::uuid as payment, v.driver_id, v.price_minor
from voucher_offer o
join voucher_inquiry i on i.id = o.inquiry_id
join voucher v on v.id = o.voucher_id
where (v.driver_id, v.product_id, v.product_version, v.price_minor, v.currency)
    <> (i.driver_id, o.product_id, o.product_version, o.price_minor, o.currency)
union all
select p.offer_id, null, p.id, p.driver_id, p.amount_minor
from voucher_payment p
left join payment m
    on m.psp = p.psp
    and m.psp_ref = p.psp_ref
    and m.kind = 'top_up'
    and m.driver_id = p.driver_id
    and m.currency = p.currency
    and m.amount_minor = p.amount_minor
where p.state = 'taken'
and m.id is null
