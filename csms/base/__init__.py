"""Values everything else is made of: money, units, ids, time, errors. No I/O, no clock, no randomness."""
