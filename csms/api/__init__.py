"""The REST interface: what people and programs ask, checked and answered. It never writes what the road writes."""
