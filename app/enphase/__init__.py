"""The client of an Enphase IQ Gateway or Envoy-S: its login, its certificate, its few sockets."""
