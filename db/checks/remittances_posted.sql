-- An approved statement remits what it says, and what of that is paid is what left the provider's account for it.
with moved as (
    select r.id, coalesce(sum(
        case
            when t.debit = 'provider:' || r.provider_id || ':payable' then t.amount
            when t.credit = 'provider:' || r.provider_id || ':payable' then -t.amount
        end), 0) as minor
    from remittance r
    left join remittance_attempt a on a.remittance_id = r.id
    left join posting p
        on p.key = any(array[
            'remittance/' || r.id || '/' || a.attempt || '/paid', 'remittance/' || r.id || '/' || a.attempt || '/returned'])
    left join transfer t on t.posting_id = p.id and t.asset = r.currency
    group by r.id)
select s.statement_id as statement, s.currency, s.remitted_minor, r.id as remittance, r.state, r.amount_minor,
    m.minor as moved_minor
from statement_sum s
join statement t on t.id = s.statement_id
full join remittance r on r.statement_id = s.statement_id and r.currency = s.currency
left join moved m on m.id = r.id
where (t.state = 'approved' or r.id is not null)
and (coalesce(r.amount_minor, 0) is distinct from case when t.state = 'approved' then s.remitted_minor else 0 end
    or coalesce(m.minor, 0) <> case when r.state = 'paid' then r.amount_minor else 0 end)
