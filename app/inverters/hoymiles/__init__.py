"""What all gateways to Hoymiles inverters have in common that speak MQTT.

Limits in tenths of a watt over a slow radio, lost with every restart, on topics where others may command as well.
"""
