#!/usr/bin/env bash
# Runs as a managed job of SkyPilot: on spot machines of any cloud, found again when they are lost.
#
#   EXPERIMENT=experiments/minislakh_tiny.py DATA=/bucket/slakh OUT=/bucket/runs/slakh \
#     BUCKET=gs://my-bucket NAME=slakh NODES=2 ACCELERATORS=H100:8 \
#     launch/sky.sh [--dry-run] [-- FLAGS of gmsdi train]
#
# Must be set: EXPERIMENT DATA OUT (launch/env.sh says what they are), NAME of the run, and
#   BUCKET        gs://, s3:// or the like; every machine sees it under /bucket
# May be set:
#   NODES         machines (1)
#   ACCELERATORS  of each machine (H100:8)
#   INFRA         where, such as gcp/us-central1 (wherever it is cheapest)
#   MAX_CRASHES   crashes after which it stays down (3); preemptions are not counted
#   WANDB_API_KEY is handed over by its name as a secret of SkyPilot, where it is set
#
# The folder that is sent is the present one, without what .gitignore names. Afterwards:
#   sky jobs logs --name NAME; sky jobs queue; sky jobs cancel --name NAME

# shellcheck disable=SC2153 # NAME is no misspelt name
set -euo pipefail

here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source-path=SCRIPTDIR source=env.sh
source "$here/env.sh"

parse "$@"
need EXPERIMENT DATA OUT NAME BUCKET
: "${NODES:=1}" "${ACCELERATORS:=H100:8}" "${MAX_CRASHES:=3}" "${RESUME:=auto}"
whole 1 NODES
whole 0 MAX_CRASHES
command_auto # only to refuse here what would be refused there
travels

# One word a line, since an environment variable holds no list.
flags=''
for word in ${EXTRA[@]+"${EXTRA[@]}"}; do
  [[ $word != *$'\n'* ]] || refuse "a flag holds a new line"
  flags+=${flags:+$'\n'}$word
done

options=(--yes --name "$NAME" --num-nodes "$NODES" --gpus "$ACCELERATORS")
[[ -z ${INFRA:-} ]] || options+=(--infra "$INFRA")
for setting in EXPERIMENT="$EXPERIMENT" DATA="$DATA" OUT="$OUT" BUCKET="$BUCKET" RUN="$NAME" \
  RESUME="$RESUME" FLAGS="$flags" MAX_CRASHES="$MAX_CRASHES" ${TRAVELS[@]+"${TRAVELS[@]}"}; do
  options+=(--env "$setting")
done
[[ -z ${WANDB_API_KEY:-} ]] || options+=(--secret WANDB_API_KEY)

run sky jobs launch "${options[@]}" "$here/sky.yaml"
