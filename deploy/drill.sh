#!/usr/bin/env bash
# The disaster, and docs/disaster_recovery.md followed word for word: its blocks are what is run here.
#
# One machine trains, backs up, predicts and is lost; another one gets the backups directory and the keys alone, and must
# predict the same. Says how long it took. On SQLite, or on the two empty databases DRILL_OLD and DRILL_NEW (addresses as
# in DATABASE_URL). With DRILL_VENV, that environment is used instead of installing one (the second figure is without it).
set -euo pipefail
export SOURCE=${SOURCE:-$(git -C "$(dirname "$0")" rev-parse --show-toplevel)}
SCRATCH=$(mktemp -d)
PYTHON=${DRILL_VENV:-$SOURCE/.venv}/bin/python
export PORT=${PORT:-5077} HOST=127.0.0.1 LOG_LEVEL=WARNING WEB_WORKERS=1
export ARTIFACT_SIGNING_KEYS=$(python3 -c "import secrets; print(secrets.token_urlsafe(48))")
STARTED=

finish() {
    if [ -n "$STARTED" ]; then kill "$STARTED" 2>/dev/null && wait "$STARTED" 2>/dev/null || true; fi
    rm -rf "$SCRATCH"
}
trap finish EXIT

predict() { # what is said of thirty reports, without the times that it took
    python3 - "$PORT" <<'END'
import json, sys, urllib.request
reports = [
    {"anomaly_id": f"D-{n}", "description": text, "equipment_id": f"eq-{n % 7}", "equipment_name": "Ventilateur"}
    for n, text in enumerate(["fuite vapeur vanne", "vibration palier", "SAFETY : garde-corps absent"] * 10)
]
request = urllib.request.Request(
    f"http://localhost:{sys.argv[1]}/predict", json.dumps(reports).encode(),
    {"Content-Type": "application/json", "X-Forwarded-Proto": "https"},
)
answer = json.load(urllib.request.urlopen(request, timeout=60))
assert len(answer["results"]) == len(reports)
for part in answer["results"]:
    part.pop("processing_time_seconds", None)
print(answer["model_version"], json.dumps(answer["results"], sort_keys=True))
END
}

export ANONYMOUS_READ=1 # the drill asks for predictions without credentials
echo "The old machine: sample, training, backup, predictions"
(
    cd "$SOURCE"
    export DEBUG=0 SECRET_KEY=old ALLOWED_HOSTS=localhost BEHIND_PROXY=1 MEDIA_ROOT="$SCRATCH/old"
    export DATABASE_URL=${DRILL_OLD:-sqlite:///$SCRATCH/old.sqlite3}
    mkdir -p "$MEDIA_ROOT"
    "$PYTHON" manage.py migrate --verbosity 0
    "$PYTHON" manage.py load_sample >/dev/null
    "$PYTHON" manage.py train --activate >/dev/null 2>&1
    "$PYTHON" manage.py create_backup
    "$PYTHON" -m gunicorn --config anomalyproject/gunicorn.py anomalyproject.wsgi >"$SCRATCH/old.log" 2>&1 &
    WEB=$!
    until curl -sf "http://localhost:$PORT/readyz" >/dev/null; do sleep 0.5; done
    predict >"$SCRATCH/before"
    kill "$WEB" && wait "$WEB" || true
)
cp -a "$SCRATCH/old/model_backups" "$SCRATCH/backups"
rm -rf "$SCRATCH/old" "$SCRATCH/old.sqlite3"

echo "The new machine: docs/disaster_recovery.md"
export BACKUPS=$SCRATCH/backups DATABASE_URL=${DRILL_NEW:-}
awk -v "out=$SCRATCH/block" '/^```bash/ { n++; file = out "." n ($2 == "install" ? ".install" : ""); next } /^```/ { file = ""; next } file { print > file }' \
    "$SOURCE/docs/disaster_recovery.md"
[ -n "$DATABASE_URL" ] || unset DATABASE_URL
cd "$SCRATCH"
BEGIN=$(date +%s.%N)
for block in "$SCRATCH"/block.*; do
    if [ -n "${DRILL_VENV:-}" ] && [[ $block == *.install ]]; then
        git clone -q "$SOURCE" anomalies && cd anomalies && ln -s "$DRILL_VENV" .venv
    else
        . "$block"
    fi
    [[ $block == *.install ]] && INSTALLED=$(date +%s.%N)
    STARTED=$(jobs -p | tail -n 1)
done
END=$(date +%s.%N)
echo
predict >"$SCRATCH/after"
cmp "$SCRATCH/before" "$SCRATCH/after"
echo "Predictions are identical."
python3 -c "print(f'Back in service after {$END - $BEGIN:.0f} s, {$END - $INSTALLED:.0f} s of them after the installation.')"
