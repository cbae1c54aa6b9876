#!/bin/sh
# Runs once, after the image has set up the empty database (organisation, first bucket, operator token).
# Adds what the image cannot: the bucket that keeps one-minute values for ever, and a login each for the
# controller and for Grafana that reaches these two buckets and nothing else.
#
# InfluxDB 2 chooses the value of every token but the operator's. The controller's token is therefore written to a
# volume that the controller reads. Grafana speaks InfluxQL, and for that InfluxDB 2 has users with a chosen password.
set -eu

org=$DOCKER_INFLUXDB_INIT_ORG
raw=$DOCKER_INFLUXDB_INIT_BUCKET
rollup=${raw}_1m
token_file=${APP_TOKEN_FILE:-/run/influxdb/app-token}

bucket_id() {
  influx bucket list --org "$org" --name "$1" --hide-headers 2>/dev/null | cut -f 1
}

if [ -z "$(bucket_id "$rollup")" ]; then
  influx bucket create --org "$org" --name "$rollup" --retention 0 >/dev/null
fi
raw_id=$(bucket_id "$raw")
rollup_id=$(bucket_id "$rollup")

if [ -z "$(influx v1 auth list --org "$org" --username grafana --hide-headers 2>/dev/null)" ]; then
  influx v1 auth create --org "$org" --username grafana --password "$GRAFANA_INFLUXDB_PASSWORD" \
    --read-bucket "$raw_id" --read-bucket "$rollup_id" >/dev/null
fi

token=$(influx auth create --org "$org" --user "$DOCKER_INFLUXDB_INIT_USERNAME" --description 'zero-export controller' \
  --read-bucket "$raw_id" --write-bucket "$raw_id" --read-bucket "$rollup_id" --write-bucket "$rollup_id" --json |
  tr -d ' \t\n' | sed -n 's/.*"token":"\([^"]*\)".*/\1/p')
if [ -z "$token" ]; then
  echo "init.sh: no token for the controller came back" >&2
  exit 1
fi
printf '%s\n' "$token" >"$token_file.new"
chmod 0644 "$token_file.new" # the volume is seen by this container and the controller only
mv "$token_file.new" "$token_file"
echo "init.sh: $raw and $rollup are ready"
