-- What a token has spent in a period is never below zero: no session gave back more than was set aside for it.
select token_key, period, currency, period_began, used_minor
from token_spending
where used_minor < 0
