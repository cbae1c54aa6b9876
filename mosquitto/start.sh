#!/bin/sh
# Writes password file and ACL from the environment, then becomes the broker.
# The ACL uses the same prefixes as config.yaml: a denied publish fails silently, so the two must not drift apart.
set -eu
umask 077

here=$(cd "$(dirname "$0")" && pwd)
run=${MOSQUITTO_RUN_DIR:-/mosquitto/run}
data=${MOSQUITTO_DATA_DIR:-/mosquitto/data}

fail() {
  echo "mosquitto/start.sh: $1" >&2
  exit 1
}

prefix() { # NAME VALUE: a topic prefix without its trailing slash
  case $2 in
    '' | /* | *//* | *[!A-Za-z0-9_/-]*) fail "$1=$2 is no topic prefix: letters, digits, _ - and / only" ;;
  esac
  printf '%s' "${2%/}"
}

user() { # NAME VALUE PASSWORD: adds one login
  case $2 in '' | *[!A-Za-z0-9_-]*) fail "$1=$2 is no user name: letters, digits, _ and - only" ;; esac
  case $3 in
    '') fail "the password of $2 is empty; run: make env" ;;
    *[:\ ]* | *"$newline"*) fail "the password of $2 has a colon, a space or a line break in it" ;;
  esac
  ! grep -q "^$2:" "$run/passwd" || fail "two users are called $2"
  printf '%s:%s\n' "$2" "$3" >>"$run/passwd"
}

allow() { # USER RULE...: positive rules only; what is not listed is refused
  printf '\nuser %s\n' "$1" >>"$run/acl"
  shift
  printf 'topic %s\n' "$@" >>"$run/acl"
}

newline='
'
zeropower=$(prefix MQTT_TOPIC_PREFIX "${MQTT_TOPIC_PREFIX:-zeropower}")
solar=$(prefix OPENDTU_TOPIC_PREFIX "${OPENDTU_TOPIC_PREFIX:-solar}")
discovery=$(prefix HOMEASSISTANT_PREFIX "${HOMEASSISTANT_PREFIX:-homeassistant}")
enphase=$(prefix ENPHASE_TOPIC "${ENPHASE_TOPIC:-enphase/envoy-s}")
app=${MQTT_USERNAME:-app}
opendtu=${OPENDTU_MQTT_USERNAME:-opendtu}
home=${HOME_MQTT_USERNAME:-home}
serials=$(printf '%s' "${OPENDTU_SERIALS:-}" | tr ',A-F' ' a-f')
case $serials in *[!0-9a-f\ ]*) fail "OPENDTU_SERIALS=$OPENDTU_SERIALS: serial numbers only, with spaces or commas between" ;; esac
[ -n "$(printf '%s' "$serials" | tr -d ' ')" ] || serials=+
inverter=$(prefix AHOYDTU_TOPIC_PREFIX "${AHOYDTU_TOPIC_PREFIX:-inverter}")
ahoydtu=${AHOYDTU_MQTT_USERNAME:-ahoydtu}
ids=$(printf '%s' "${AHOYDTU_IDS:-}" | tr ',' ' ')
case $ids in *[!0-9\ ]*) fail "AHOYDTU_IDS=$AHOYDTU_IDS: ids only, with spaces or commas between" ;; esac
[ -n "$(printf '%s' "$ids" | tr -d ' ')" ] || ids=+

mkdir -p "$run" "$data"
: >"$run/passwd"
: >"$run/acl"

user MQTT_USERNAME "$app" "${MQTT_PASSWORD:-}"
user OPENDTU_MQTT_USERNAME "$opendtu" "${OPENDTU_MQTT_PASSWORD:-}"
user HOME_MQTT_USERNAME "$home" "${HOME_MQTT_PASSWORD:-}"
[ -z "${AHOYDTU_MQTT_PASSWORD:-}" ] || user AHOYDTU_MQTT_USERNAME "$ahoydtu" "$AHOYDTU_MQTT_PASSWORD"
head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$run/health"
user health health "$(cat "$run/health")"

# The controller: limits that end with the inverter's power cycle, and nothing else an inverter obeys. What it shows to
# Home Assistant, and whether that one has just started (which it says below homeassistant/, whatever the prefix). What
# Venus OS reads, and what an Enphase gateway tells.
allow "$app" "read $solar/#" "readwrite $zeropower/#" "write $enphase/#" "write zero-export/venus/#" \
  "write $discovery/device/+/config" "read $discovery/status" "read homeassistant/status"
for serial in $serials; do
  printf 'topic write %s/%s/cmd/limit_nonpersistent_absolute\n' "$solar" "$serial" >>"$run/acl"
  if [ "${OPENDTU_ALLOW_POWER:-0}" = 1 ]; then
    printf 'topic write %s/%s/cmd/power\n' "$solar" "$serial" >>"$run/acl"
  fi
done

if [ -n "${AHOYDTU_MQTT_PASSWORD:-}" ]; then
  printf 'topic read %s/#\n' "$inverter" >>"$run/acl"
  for id in $ids; do
    printf 'topic write %s/ctrl/limit/%s\n' "$inverter" "$id" >>"$run/acl"
    if [ "${AHOYDTU_ALLOW_POWER:-0}" = 1 ]; then
      printf 'topic write %s/ctrl/power/%s\n' "$inverter" "$id" >>"$run/acl"
    fi
  done
fi

# OpenDTU: its own telemetry, and the commands for it.
allow "$opendtu" "write $solar/dtu/#" "write $solar/ac/#" "write $solar/dc/#" "write $solar/+/name" \
  "write $solar/+/status/#" "write $solar/+/device/#" "write $solar/+/radio/#" "read $solar/+/cmd/#"
for channel in 0 1 2 3 4 5 6; do
  printf 'topic write %s/+/%s/#\n' "$solar" "$channel" >>"$run/acl"
done

# AhoyDTU: the same. Its inverters' topics begin with their names, which this script does not know.
if [ -n "${AHOYDTU_MQTT_PASSWORD:-}" ]; then
  allow "$ahoydtu" "write $inverter/+" "write $inverter/total/#" "write $inverter/+/alarm/#" \
    "read $inverter/ctrl/#" "read $inverter/setup/#"
  for topic in available last_success rssi ack_pwr_limit active_PowerLimit radio_stat firmware hardware dis_night_comm; do
    printf 'topic write %s/+/%s\n' "$inverter" "$topic" >>"$run/acl"
  done
  for channel in 0 1 2 3 4 5 6; do
    printf 'topic write %s/+/ch%s/#\n' "$inverter" "$channel" >>"$run/acl"
  done
fi

# People and Home Assistant: see everything, set what the web page can set.
allow "$home" "read $zeropower/#" "write $zeropower/set/enabled" "write $zeropower/set/target_point_w" \
  "write $zeropower/set/override" "write $zeropower/set/ensemble" "write $zeropower/price/#" \
  "read $solar/#" "read $enphase/#" \
  "read $discovery/#" "write $discovery/status" "write homeassistant/status" "read zero-export/venus/#"
[ -z "${AHOYDTU_MQTT_PASSWORD:-}" ] || printf 'topic read %s/#\n' "$inverter" >>"$run/acl"

allow health "read \$SYS/broker/uptime"

mosquitto_passwd -U "$run/passwd"

{ # the listener first: max_connections belongs to the one above it
  echo "listener ${MOSQUITTO_PORT:-1883} ${MOSQUITTO_BIND:-}"
  cat "$here/mosquitto.conf"
  echo "password_file $run/passwd"
  echo "acl_file $run/acl"
  echo "persistence_location $data/"
} >"$run/mosquitto.conf"
exec mosquitto -c "$run/mosquitto.conf"
