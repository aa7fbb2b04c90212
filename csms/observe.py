"""Logs and metrics: how lines are written, and every metric by its name. Nobody else imports prometheus_client."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest

FAST_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
"""Buckets of durations, in seconds."""

# The edge
CONNECTIONS = Gauge("csms_connections", "stations connected to this process", ["version"])
HANDSHAKES_REFUSED = Counter("csms_handshakes_refused", "connections refused at the handshake", ["reason"])
CALLS = Counter("csms_calls", "OCPP calls received, by what became of them", ["version", "action", "outcome"])
COMMANDS = Counter("csms_commands", "commands to stations, by their end", ["end"])

# The road
BATCHES = Counter("csms_batches", "committed batches of reports")
BATCH_REPORTS = Histogram("csms_batch_reports", "reports in a batch", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512))
BATCH_SECONDS = Histogram("csms_batch_seconds", "a batch from load to commit", buckets=FAST_S)
RACES_LOST = Counter("csms_races_lost", "batches decided again because another writer was first")
REPORTS_PARKED = Counter("csms_reports_parked", "reports set aside because they could not be stored")
SESSIONS_BILLED = Counter("csms_sessions_billed", "sessions that were closed with a bill")
REFUSALS = Counter("csms_refusals", "drivers refused at a station, by reason", ["reason"])
EXCEPTIONS = Counter("csms_exceptions", "sessions that people must look at", ["kind"])

# The worker and the psps
JOBS = Counter("csms_jobs", "outbox jobs done, by what became of them", ["kind", "outcome"])
JOBS_WAITING = Gauge("csms_jobs_waiting", "outbox jobs that are due and not done")
PSP_CALLS = Counter("csms_psp_calls", "calls to payment services, by outcome", ["psp", "operation", "outcome"])
PSP_SECONDS = Histogram("csms_psp_seconds", "how long payment services take", ["psp", "operation"], buckets=FAST_S)

# REST
REQUESTS = Counter("csms_http_requests", "HTTP requests answered", ["method", "route", "status"])
REQUEST_SECONDS = Histogram("csms_http_request_seconds", "how long answers take", ["route"], buckets=FAST_S)

# The whole
CHECK_ROWS = Gauge("csms_check_rows", "rows returned by an invariant of db/checks: 0 when all is well", ["check"])
DATABASE_SECONDS = Gauge("csms_database_seconds", "the last timed round trip to the database")


def exposition() -> tuple[bytes, str]:
    """What `/metrics` answers: the text and its content type."""
    return generate_latest(), CONTENT_TYPE_LATEST


def configure_logs(level: str, form: Literal["auto", "json", "text"]) -> None:
    """
    Write log lines to standard error, from `level` up; standard output belongs to the answers of commands.

    `form` auto is text for a person on a terminal and JSON elsewhere. Lines of libraries join ours.
    """
    as_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if as_text
        else structlog.processors.JSONRenderer()
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*(shared[:-1] if as_text else shared), renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared[:-1] if as_text else shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(max(number, logging.INFO))
