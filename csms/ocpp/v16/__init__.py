"""OCPP 1.6: translation, nothing else."""
