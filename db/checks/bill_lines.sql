-- The lines of a bill sum to its total, in units of its currency or in hundredths.
select b.id as bill, b.session_id as session, b.total_minor, lines.total
from bill b
cross join lateral (
    select coalesce(sum((line ->> 'incl_vat')::numeric), 0) as total
    from jsonb_array_elements(b.lines) line) lines
where b.total_minor <> round(lines.total)
and b.total_minor <> round(lines.total * 100)
