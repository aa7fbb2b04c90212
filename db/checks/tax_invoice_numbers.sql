-- Tax invoices are numbered from 1 without gaps, per issuer and year.
select coalesce(i.issuer, c.issuer) as issuer, coalesce(i.year, c.year) as year, i.numbered, i.highest, c.last_number
from (
    select issuer, year, count(*) as numbered, min(number) as lowest, max(number) as highest
    from tax_invoice
    group by issuer, year) i
full join tax_invoice_count c on c.issuer = i.issuer and c.year = i.year
where (i.lowest, i.highest, i.numbered) is distinct from (1, c.last_number, c.last_number::bigint)
