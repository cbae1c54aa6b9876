"""AlphaESS systems by their manufacturer's cloud (OpenAPI): shared by the battery and the meter of that type."""
