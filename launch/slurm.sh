#!/usr/bin/env bash
# Submits a run to SLURM. It is requeued when it is preempted or meets its time limit, and goes on.
#
#   EXPERIMENT=experiments/minislakh_tiny.py DATA=/data/slakh OUT=/runs/slakh NODES=4 GPUS=8 \
#     launch/slurm.sh [--dry-run] [-- FLAGS of gmsdi train]
#
# Must be set: EXPERIMENT DATA OUT (launch/env.sh says what they are) and NODES.
# May be set:
#   GPUS         GPUs of each node (0: train on CPUs)
#   TASKS        gpu (default): one process for each GPU; node: one for each node
#   CPUS         cores of each process
#   TIME_LIMIT   of one slice, such as 04:00:00; the run goes on in the next one
#   GRACE        seconds before the limit at which the run is told to save (60)
#   PARTITION ACCOUNT QOS JOB_NAME   as sbatch names them
#   LOG          the log's file, appended to by every slice (slurm-%j.out)
#   IMAGE MOUNTS a container image and what it sees (pyxis: --container-image, --container-mounts)
#   MAX_CRASHES  crashes after which the job stays down (3); preemptions are not counted
#   SETTLE       seconds that the other processes live on after the first one ended (12)
#
# Prints the job's number. launch/slurm.sbatch is what the job runs.
set -euo pipefail

here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source-path=SCRIPTDIR source=env.sh
source "$here/env.sh"

parse "$@"
need EXPERIMENT DATA OUT NODES
: "${GPUS:=0}" "${GRACE:=60}" "${SETTLE:=12}" "${MAX_CRASHES:=3}"
whole 1 NODES GRACE SETTLE
whole 0 GPUS MAX_CRASHES
if ((GPUS)); then : "${TASKS:=gpu}"; else : "${TASKS:=node}"; fi
one_of TASKS gpu node

options=(--parsable --nodes="$NODES" --signal="TERM@$GRACE" --output="${LOG:-slurm-%j.out}")
settings=(SETTLE="$SETTLE" MAX_CRASHES="$MAX_CRASHES")
if ((GPUS)); then options+=(--gpus-per-node="$GPUS"); fi
if [[ $TASKS == gpu ]]; then
  whole 1 GPUS
  options+=(--ntasks-per-node="$GPUS")
else
  options+=(--ntasks-per-node=1)
  # Under SLURM, jax takes one device for each process unless it is told.
  if ((GPUS)); then settings+=(JAX_LOCAL_DEVICE_IDS="$(seq -s, 0 $((GPUS - 1)))"); fi
fi
[[ -z ${CPUS:-} ]] || { whole 1 CPUS && options+=(--cpus-per-task="$CPUS"); }
[[ -z ${TIME_LIMIT:-} ]] || options+=(--time="$TIME_LIMIT")
[[ -z ${PARTITION:-} ]] || options+=(--partition="$PARTITION")
[[ -z ${ACCOUNT:-} ]] || options+=(--account="$ACCOUNT")
[[ -z ${QOS:-} ]] || options+=(--qos="$QOS")
[[ -z ${JOB_NAME:-} ]] || options+=(--job-name="$JOB_NAME")
[[ -z ${IMAGE:-} ]] || settings+=(IMAGE="$IMAGE")
[[ -z ${MOUNTS:-} ]] || settings+=(MOUNTS="$MOUNTS")

command_auto
guard "${options[@]}" "${settings[@]}"

# SLURM keeps a job's environment on the controller's disk: secrets do not go there.
while read -r name; do
  say "$name stays here: the job reads ~/.netrc (wandb login), ~/.aws and the like"
  unset "$name"
done < <(secrets)

run env "${settings[@]}" sbatch "${options[@]}" "$here/slurm.sbatch" "${COMMAND[@]}"
