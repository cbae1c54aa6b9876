#!/bin/sh
# Logs in and subscribes: proves that the broker answers and knows its users.
exec mosquitto_sub -h 127.0.0.1 -p "${MOSQUITTO_PORT:-1883}" -i "health-$$" -u health \
  -P "$(cat "${MOSQUITTO_RUN_DIR:-/mosquitto/run}/health")" -t "\$SYS/broker/uptime" -E -W 5
