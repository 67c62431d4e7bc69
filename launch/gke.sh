#!/usr/bin/env bash
# Runs on GKE as a JobSet (https://jobset.sigs.k8s.io must be installed in the cluster).
#
#   EXPERIMENT=experiments/minislakh_tiny.py DATA=gs://bucket/slakh OUT=gs://bucket/runs/slakh \
#     NAME=slakh IMAGE=REGISTRY/gmsdi:1 KIND=tpu ACCELERATOR=tpu-v5-lite-podslice TOPOLOGY=4x4 HOSTS=4 \
#     launch/gke.sh [--dry-run] [-- FLAGS of gmsdi train]
#
# Must be set: EXPERIMENT DATA OUT (launch/env.sh says what they are) and
#   NAME         of the JobSet
#   IMAGE        with gmsdi in it, and EXPERIMENT in its working directory
#   KIND         tpu or gpu
#   ACCELERATOR  the node label: cloud.google.com/gke-tpu-accelerator or .../gke-accelerator
#   HOSTS        machines: of each slice for TPUs, of all for GPUs
#   TOPOLOGY     of a TPU slice, such as 4x4
# May be set:
#   CHIPS        chips (4) or GPUs (8) of each machine
#   SLICES       TPU slices, joined over the data center's network (1)
#   SPOT         1: on spot machines
#   GRACE        seconds to save and end when the pod is removed (60)
#   MAX_CRASHES  crashes after which it stays down (3); preemptions are not counted
#   QUEUE SERVICE_ACCOUNT NAMESPACE   of Kueue; for Workload Identity; of the JobSet
#   WANDB_KEY_FROM a Kubernetes Secret that holds the key of wandb under `api-key`
#
# --dry-run prints the manifest: launch/gke.sh --dry-run > run.yaml. Afterwards:
#   kubectl logs --follow --selector jobset.sigs.k8s.io/jobset-name=NAME --prefix
#   kubectl get jobset NAME; kubectl delete jobset NAME

# shellcheck disable=SC2153 # NAME is no misspelt name
set -euo pipefail

here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source-path=SCRIPTDIR source=env.sh
source "$here/env.sh"

parse "$@"
need EXPERIMENT DATA OUT NAME IMAGE KIND ACCELERATOR HOSTS
: "${SLICES:=1}" "${GRACE:=60}" "${MAX_CRASHES:=3}" "${SPOT:=0}" "${PORT:=8476}"
one_of KIND tpu gpu
one_of SPOT 0 1
whole 0 MAX_CRASHES

options=(--name "$NAME" --image "$IMAGE")
if [[ $KIND == tpu ]]; then
  need TOPOLOGY
  : "${CHIPS:=4}"
  options+=(--resource google.com/tpu --exclusive)
  options+=(--node "cloud.google.com/gke-tpu-accelerator=$ACCELERATOR")
  options+=(--node "cloud.google.com/gke-tpu-topology=$TOPOLOGY")
  command_auto
else
  : "${CHIPS:=8}"
  [[ $SLICES == 1 ]] || refuse "SLICES=$SLICES: GPU machines are counted by HOSTS"
  options+=(--resource nvidia.com/gpu --node "cloud.google.com/gke-accelerator=$ACCELERATOR")
  # shellcheck disable=SC2016 # Kubernetes puts the number of the pod there
  command_at "$NAME-hosts-0-0.$NAME:$PORT" "$HOSTS" '$(JOB_COMPLETION_INDEX)'
fi
whole 1 HOSTS SLICES CHIPS GRACE PORT
options+=(--count "$CHIPS" --slices "$SLICES" --hosts "$HOSTS" --grace "$GRACE")
options+=(--max-crashes "$MAX_CRASHES" --queue "${QUEUE:-}")
options+=(--service-account "${SERVICE_ACCOUNT:-}" --wandb-key-from "${WANDB_KEY_FROM:-}")
[[ $SPOT == 0 ]] || options+=(--spot)
travels
for setting in ${TRAVELS[@]+"${TRAVELS[@]}"}; do options+=(--env "$setting"); done
guard "${options[@]}"

manifest=$("${PYTHON:-python3}" "$here/gke/render.py" "${options[@]}" -- "${COMMAND[@]}")
apply=(kubectl create)
[[ -z ${NAMESPACE:-} ]] || apply+=(--namespace "$NAMESPACE")
apply+=(--filename -)

if [[ $DRY_RUN ]]; then
  printf '# %s\n%s\n' "$(quoted "${apply[@]}")" "$manifest"
else
  "${apply[@]}" <<< "$manifest"
fi
