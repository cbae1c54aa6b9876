"""What the outside sees: HTTP and MQTT."""
