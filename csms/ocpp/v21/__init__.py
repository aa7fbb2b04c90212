"""OCPP 2.1: translation, nothing else."""
