"""Payloads of DataTransfer."""
