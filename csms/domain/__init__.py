"""The rules: frozen values and pure functions. Nothing here waits, reads a clock or knows a wire format."""
