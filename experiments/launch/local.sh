#!/usr/bin/env bash
# Runs one study on this machine and keeps trying after an interruption, at most five times:
#   experiments/launch/local.sh --config=configs/lgg_mri.py --config.cohort.root=DIR --workdir=runs/lgg
set -uo pipefail
for attempt in 1 2 3 4 5; do
  fairrecon study "$@" && exit 0
  code=$?
  [ "$code" -eq 2 ] && exit 2 # refused input: trying again does not help
  echo "attempt $attempt ended with code $code; continuing" >&2
done
exit 1
