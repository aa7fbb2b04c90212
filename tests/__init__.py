"""Tests, by floor: `domain`, `ocpp`, `flows`, `api`, `psp`, `worker`, `sim`, `stories`, `benchmarks`."""
