#!/usr/bin/env bash
# Trains in several processes on this machine: on the CPU, or with one GPU each.
#
#   EXPERIMENT=experiments/minislakh_tiny.py DATA=data/minislakh OUT=runs/tiny \
#     launch/local.sh [--dry-run] [-- FLAGS of gmsdi train]
#
# Must be set: EXPERIMENT DATA OUT (launch/env.sh says what they are).
# May be set:
#   PROCESSES  how many (2; with DEVICE=gpu as many as there are GPUs)
#   DEVICE     cpu (default): DEVICES virtual devices in each process; gpu: one GPU for each process
#   DEVICES    virtual devices of each process (1)
#   GRACE      seconds to save and end after SIGTERM or SIGINT (60)
#
# Exits with the code that tells the most: see launch/README.md. launch/ranks.py does the work.
set -euo pipefail

here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source-path=SCRIPTDIR source=env.sh
source "$here/env.sh"

parse "$@"
: "${DEVICE:=cpu}" "${DEVICES:=1}" "${GRACE:=60}"
one_of DEVICE cpu gpu
if [[ $DEVICE == gpu ]]; then
  : "${PROCESSES:=$(nvidia-smi --list-gpus 2> /dev/null | wc -l)}"
  whole 1 PROCESSES
  devices=(--gpus)
else
  : "${PROCESSES:=2}"
  devices=(--devices "$DEVICES")
fi
whole 1 PROCESSES DEVICES GRACE

options=(-n "$PROCESSES" "${devices[@]}" --grace "$GRACE")
[[ -z $DRY_RUN ]] || options+=(--dry-run)
command_at '{coordinator}' '{processes}' '{process}'
exec "${PYTHON:-python3}" "$here/ranks.py" "${options[@]}" -- "${COMMAND[@]}"
