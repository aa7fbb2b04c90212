-- Every top-up is a payment that arrived, of the same amount: no balance grows from nothing, nor twice from one payment.
select p.id as posting, p.key, t.asset, t.minor as posted, m.amount_minor as paid
from posting p
cross join lateral (
    select asset, sum(amount) as minor
    from transfer
    where posting_id = p.id
    group by asset) t
left join payment m
    on m.psp = split_part(p.key, '/', 2)
    and m.psp_ref = substr(p.key, length('top-up/' || split_part(p.key, '/', 2)) + 2)
    and m.kind = 'top_up'
    and m.currency = t.asset
where p.kind = 'top_up'
and p.key like 'top-up/%/%'
and m.amount_minor is distinct from t.minor
