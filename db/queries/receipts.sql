-- Receipts of bills, and the numbers of tax invoices.

-- name: show_receipt
-- A bill with its seller, the zone of its site, and the number of its tax invoice.
select b.*, b.lines::text as lines_text, p.name as provider_name, p.time_zone as provider_zone,
    coalesce(s.time_zone, p.time_zone) as zone, i.issuer, i.year, i.number, i.made_at as invoiced_at
from bill b
join provider p on p.id = b.provider_id
left join site s on s.id = b.site_id
left join tax_invoice i on i.bill_id = b.id
where b.id = $1;

-- name: number_tax_invoice
-- Gives bill $1 the next number of issuer $2 in year $3; false when it has one.
select number_tax_invoice($1, $2, $3, $4, $5);
