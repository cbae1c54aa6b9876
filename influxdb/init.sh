#!/bin/sh
# Runs once, after the image has set up the empty database (organisation, first bucket, operator token).
# Adds what the image cannot: the bucket that keeps one-minute values for ever, and a token each for the
# controller (reads and writes these two buckets) and for Grafana (reads them).
#
# InfluxDB 2 chooses the value of every token but the operator's. The tokens are therefore written to a volume,
# from which the controller and Grafana read them.
set -eu

org=$DOCKER_INFLUXDB_INIT_ORG
raw=$DOCKER_INFLUXDB_INIT_BUCKET
rollup=${raw}_1m
tokens=${TOKEN_DIR:-/run/influxdb}

bucket_id() {
  influx bucket list --org "$org" --name "$1" --hide-headers 2>/dev/null | cut -f 1
}

# new_token FILE DESCRIPTION PERMISSION...: has a token made and puts it where its owner looks for it
new_token() {
  file=$tokens/$1
  description=$2
  shift 2
  token=$(influx auth create --org "$org" --user "$DOCKER_INFLUXDB_INIT_USERNAME" --description "$description" "$@" --json |
    tr -d ' \t\n' | sed -n 's/.*"token":"\([^"]*\)".*/\1/p')
  if [ -z "$token" ]; then
    echo "init.sh: no token for the $description came back" >&2
    exit 1
  fi
  printf '%s\n' "$token" >"$file.new"
  chmod 0644 "$file.new" # the volume is seen by this container, the controller and Grafana only
  mv "$file.new" "$file"
}

if [ -z "$(bucket_id "$rollup")" ]; then
  influx bucket create --org "$org" --name "$rollup" --retention 0 >/dev/null
fi
raw_id=$(bucket_id "$raw")
rollup_id=$(bucket_id "$rollup")

new_token grafana-token 'dashboards' --read-bucket "$raw_id" --read-bucket "$rollup_id"
new_token app-token 'controller' \
  --read-bucket "$raw_id" --write-bucket "$raw_id" --read-bucket "$rollup_id" --write-bucket "$rollup_id"
echo "init.sh: $raw and $rollup are ready"
