"""Zero-export controller for Hoymiles inverters behind OpenDTU."""
