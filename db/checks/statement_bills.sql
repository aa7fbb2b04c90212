-- A bill is on a statement of its own provider that was not cancelled, issued before its end, and paid by whom it says.
select s.bill_id as bill, s.statement_id as statement, t.state, b.provider_id, t.provider_id as of_provider, b.issued_at,
    t.ends_at, s.paid_by, b.shares_by
from statement_bill s
join statement t on t.id = s.statement_id
left join bill b on b.id = s.bill_id
where b.id is null
or t.state = 'cancelled'
or b.provider_id <> t.provider_id
or b.issued_at >= t.ends_at
or s.paid_by <> b.shares_by
