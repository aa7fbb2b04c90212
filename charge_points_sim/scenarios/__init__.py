"""What simulated stations live through: one module per scenario."""
