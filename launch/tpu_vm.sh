#!/usr/bin/env bash
# Runs on Cloud TPU VMs: one queued resource, created again when it is lost.
#
#   EXPERIMENT=experiments/minislakh_tiny.py DATA=gs://bucket/slakh OUT=gs://bucket/runs/slakh \
#     NAME=slakh ZONE=us-west4-a TYPE=v5litepod-16 RUNTIME=v2-alpha-tpuv5-lite \
#     launch/tpu_vm.sh watch [--dry-run] [-- FLAGS of gmsdi train]
#
# watch   does all: creates, starts, creates again after SUSPENDED or FAILED, starts again after 85 or
#         a crash, and deletes at the end. It may be stopped and started at any time.
# create  requests the machines, unless they are there
# wait    until they are ready
# run     sends the committed source to them and starts, unless it runs
# status  absent, running, exited CODE or lost, for every machine
# logs    follows the log of the first machine
# stop    SIGTERM: save and exit
# delete  gives the machines back
#
# Must be set: EXPERIMENT DATA OUT (launch/env.sh says what they are), NAME ZONE TYPE RUNTIME.
# May be set:
#   SPOT         1 (default): spot machines, which may be taken away; 0: not
#   VALID_FOR    how long the request may wait for machines, such as 6h (24h)
#   SLICES       slices of TYPE, joined over the data center's network (1)
#   PROJECT SERVICE_ACCOUNT   as gcloud names them
#   POLL         seconds between looks (30)
#   MAX_CRASHES  crashes after which it stays down (3); preemptions are not counted
#   MAX_FAILURES looks in a row that may go wrong, as without a network (60)
#   KEEP         1: watch leaves the machines when the run has ended
#   COMMIT       the source that is sent (HEAD, as it is when the launcher starts)
#   WANDB_KEY_FROM  a secret of Secret Manager that holds the key of wandb
#
# Several machines need a key without a passphrase: ssh-add ~/.ssh/google_compute_engine

# shellcheck disable=SC2153 # NAME is no misspelt name
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=env.sh
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

ALL=(--node=all --worker=all)

# queued VERB [ARGUMENT...]: gcloud on queued resources of this place.
queued() {
  run gcloud compute tpus queued-resources "$@" --zone="$ZONE" ${PROJECT:+"--project=$PROJECT"} --quiet
}

list() { queued list --format='csv[no-heading](name.basename(),state.state)'; }

# The request's state, or nothing where there is none; fails where gcloud does.
state() {
  local listed id state
  listed=$(list) || return
  while IFS=, read -r id state; do
    [[ $id != "$NAME" ]] || printf '%s\n' "$state"
  done <<< "$listed"
}

create() {
  local options=(--accelerator-type="$TYPE" --runtime-version="$RUNTIME")
  options+=(--valid-until-duration="$VALID_FOR")
  [[ $SPOT == 0 ]] || options+=(--spot)
  if ((SLICES > 1)); then
    options+=(--node-count="$SLICES" --node-prefix="$NAME")
  else
    options+=(--node-id="$NAME")
  fi
  [[ -z ${SERVICE_ACCOUNT:-} ]] || options+=(--service-account="$SERVICE_ACCOUNT")
  queued create "$NAME" "${options[@]}"
}

delete() { queued delete "$NAME" --force; }

on_all() { queued ssh "$NAME" "${ALL[@]}" --command="$1"; }

worker() { on_all "bash gmsdi/launch/tpu_worker.sh $1"; }

# A machine that is new has no source yet.
ask() {
  local there=gmsdi/launch/tpu_worker.sh
  on_all "if test -e $there; then bash $there status; else echo status: absent; fi"
}

start() {
  local archive=$NAME.tar.gz command settings=(${TRAVELS[@]+"${TRAVELS[@]}"})
  [[ -z ${WANDB_KEY_FROM:-} ]] || settings+=(WANDB_KEY_FROM="$WANDB_KEY_FROM")
  command="tar -xzmf $NAME.tar.gz --one-top-level=gmsdi && bash gmsdi/launch/tpu_worker.sh start "
  command+=$(quoted ${settings[@]+"${settings[@]}"} -- "${COMMAND[@]}")
  [[ $DRY_RUN ]] || archive=$(mktemp -d)/$archive
  run git archive --format=tar.gz --output="$archive" "$COMMIT" &&
    queued scp "$archive" "$NAME:$NAME.tar.gz" "${ALL[@]}" &&
    on_all "$command" || return
  [[ $DRY_RUN ]] || rm -r -- "${archive%/*}"
}

# Looks once, and says so where something has changed since the last look.
look() {
  if ! now=$(state); then
    failed "gcloud does not answer"
    now=unknown
  fi
  [[ $now == "$last" ]] || say "${now:-absent}"
  last=$now
}

# What may pass by itself, such as a network that is down, is borne for a while.
failed() {
  ((++failures <= MAX_FAILURES)) || unavailable "$1, $failures times in a row: see above"
}

await() {
  while true; do
    look
    case $now in
      ACTIVE) return ;;
      "" | FAILED | SUSPENDED) unavailable "${now:-absent}: create the machines first" ;;
    esac
    sleep "$POLL"
  done
}

# One word for all machines, from what each one says, and the exit code where there is one.
verdict() {
  local said word
  said=$(ask) || return
  said=$(grep -o 'status: .*' <<< "$said") || return
  for word in 'exited 2' 'exited 4' 'exited 70' 'exited 130' lost; do
    if grep -qx "status: $word" <<< "$said"; then echo "$word" && return; fi
  done
  if word=$(grep -m1 'exited' <<< "$(grep -vxE 'status: exited (0|85|143)' <<< "$said")"); then
    echo "crashed ${word##* }" && return
  fi
  for word in absent running 'exited 143' 'exited 85' 'exited 0'; do
    if grep -qx "status: $word" <<< "$said"; then echo "$word" && return; fi
  done
}

# Looks, and does what brings the run nearer to its end.
step() {
  look
  case $now in
    ACTIVE) requests=0 ;;
    "")
      create || failed "the request is refused"
      return
      ;;
    FAILED | SUSPENDED)
      [[ $now == SUSPENDED ]] || ((++requests <= MAX_FAILURES)) ||
        unavailable "the request fails again and again: see gcloud's describe"
      delete || failed "deleting is refused"
      return
      ;;
    *) return ;;
  esac
  if ! found=$(verdict); then
    failed "the machines do not answer ssh"
    return
  fi
  [[ $found == running ]] || say "$found"
  case $found in
    running) ;;
    "exited 0") finish 0 ;;
    absent | "exited 85" | "exited 143") start || failed "starting fails" ;;
    lost) again ;; # the machine was away, which is no fault of the run
    crashed*) if ((++crashes > MAX_CRASHES)); then finish "${found#* }"; else again; fi ;;
    *) finish "${found#* }" ;;
  esac
}

# One is gone: the others wait for it in vain.
again() {
  worker kill || true
  start || failed "starting fails"
}

watch() {
  say "source: commit $COMMIT"
  while true; do
    before=$failures
    step
    ((failures > before)) || failures=0
    sleep "$POLL"
  done
}

# The end of the run: its last lines, and the machines given back.
finish() {
  say "the run has ended with $1"
  (($1 == 0)) || on_all "tail -n 30 gmsdi/run.log" >&2 || true
  [[ ${KEEP:-0} == 1 ]] || delete
  exit "$1"
}

parse "$@"
verb=${WORDS[0]:-}
: "${SPOT:=1}" "${VALID_FOR:=24h}" "${SLICES:=1}" "${POLL:=30}" "${MAX_CRASHES:=3}" "${MAX_FAILURES:=60}"
now='' last=none found='' before=0 failures=0 requests=0 crashes=0
case $verb in
  watch | create | wait | run | status | logs | stop | delete) ;;
  *) refuse "say what: watch, create, wait, run, status, logs, stop or delete" ;;
esac
need NAME ZONE
one_of SPOT 0 1
whole 1 SLICES MAX_FAILURES
whole 0 MAX_CRASHES
[[ $POLL =~ ^[0-9]+(\.[0-9]+)?$ ]] || refuse "POLL=$POLL is not a number of seconds"
case $verb in watch | create) need TYPE RUNTIME ;; esac
case $verb in
  watch | run)
    command_auto
    travels
    cd "$(dirname "${BASH_SOURCE[0]}")/.."
    : "${COMMIT:=$(git rev-parse HEAD)}"
    git cat-file -e "$COMMIT:$EXPERIMENT" 2> /dev/null ||
      refuse "EXPERIMENT=$EXPERIMENT is not in commit $COMMIT, and only what git knows is sent"
    ;;
esac

case $verb in
  watch) if [[ $DRY_RUN ]]; then list && create && start && ask && delete; else watch; fi ;;
  create)
    if [[ $DRY_RUN ]]; then
      list && create
    else
      look
      [[ $now ]] || create
    fi
    ;;
  wait) if [[ $DRY_RUN ]]; then list; else await; fi ;;
  run) start ;;
  status) ask ;;
  logs) queued ssh "$NAME" --node=0 --worker=0 --command="tail -n 100 -F gmsdi/run.log" ;;
  stop) worker stop ;;
  delete) delete ;;
esac
