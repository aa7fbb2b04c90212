-- Nothing is ever rounded away in the books.
select address, asset, balance
from account_balance
where address = 'rounding'
and balance <> 0
