"""Measurements of the running system: ``make bench``."""
