"""Telemetry: the schema, the projection of ticks, and the stores."""
