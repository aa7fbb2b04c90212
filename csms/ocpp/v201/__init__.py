"""OCPP 2.0.1: translation, nothing else."""
