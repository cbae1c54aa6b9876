"""Storage, relays and dry contacts behind an Enphase gateway, through pyenphase."""
