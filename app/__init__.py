"""Zero-export controller for Hoymiles inverters behind OpenDTU."""

__version__ = "0.1.0"
