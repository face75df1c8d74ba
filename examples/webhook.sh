#!/usr/bin/env bash
# Sends one event to the webhook door, signed as Stripe signs: HMAC-SHA256 over "<time>.<body>".
#
#   examples/webhook.sh [TYPE [OBJECT_ID]]      e.g. examples/webhook.sh checkout.session.completed cs_test_123
#
# WEBHOOK_URL and WEBHOOK_SECRET name the door and a secret it knows; the defaults are those of `make run`.
# EVENT_ID repeats an event: the same id is answered "duplicate" and stored once.
set -euo pipefail

url=${WEBHOOK_URL:-http://127.0.0.1:8000/api/billing/webhook}
secret=${WEBHOOK_SECRET:-whsec_sandbox}
type=${1:-checkout.session.completed}
object_id=${2:-cs_test_unknown}
now=$(date +%s)
event_id=${EVENT_ID:-evt_example_${now}_$$}

body=$(printf '{"id":"%s","object":"event","type":"%s","created":%s,"livemode":false,"api_version":"2026-10-28.endive","data":{"object":{"id":"%s","object":"%s"}}}' \
  "$event_id" "$type" "$now" "$object_id" "${type%.*}")
signature=$(printf '%s.%s' "$now" "$body" | openssl dgst -sha256 -hmac "$secret" | sed 's/^.* //')

curl --silent --show-error --fail-with-body "$url" \
  --header 'Content-Type: application/json' \
  --header "Stripe-Signature: t=$now,v1=$signature" \
  --data-binary "$body"
echo
