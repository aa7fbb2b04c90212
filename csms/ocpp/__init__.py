"""The OCPP edge: sockets in, events of the domain out."""
