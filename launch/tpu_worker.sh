#!/usr/bin/env bash
# What launch/tpu_vm.sh runs on every TPU VM, in the unpacked source of the project.
#
#   tpu_worker.sh start [NAME=VALUE...] -- COMMAND   installs, starts, returns at once
#   tpu_worker.sh status                             absent, running, exited CODE or lost
#   tpu_worker.sh stop                               SIGTERM: save and exit
#   tpu_worker.sh kill                               SIGKILL
#
# The command is detached (setsid), so that the end of an ssh connection is not its end. run.lock
# is held as long as it runs; a reboot opens it, while a process number in a file would lie.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'tpu_worker.sh: %s\n' "$*" >&2; }

running() { ! flock --nonblock run.lock true; }

# Images of TPU VMs come with an older Python than gmsdi takes; uv brings one along.
install() {
  local wanted
  wanted=$(cksum pyproject.toml constraints.txt)
  [[ ! -e .venv/installed || $(< .venv/installed) != "$wanted" ]] || return 0
  say "installing"
  python3 -m pip install --quiet --user uv
  python3 -m uv venv --quiet --clear --python 3.12 .venv
  python3 -m uv pip install --quiet --python .venv/bin/python -c constraints.txt -e '.[tpu]'
  echo "$wanted" > .venv/installed
}

start() {
  local settings=()
  while [[ $1 != -- ]]; do settings+=("$1") && shift; done
  shift
  if running; then
    say "runs already"
    return
  fi
  install
  rm -f run.pid run.exit
  env PATH="$PWD/.venv/bin:$PATH" ${settings[@]+"${settings[@]}"} \
    setsid bash launch/tpu_worker.sh hold "$@" >> run.log 2>&1 < /dev/null &
  until [[ -e run.pid ]]; do sleep 0.1; done
}

# In the background: runs the command to its end and notes how it ended.
hold() {
  local code=0
  exec 9> run.lock
  flock --nonblock 9 # fails where another was faster
  echo $$ > run.pid
  trap : TERM # stop signals the whole group: the command ends by itself, and this notes how
  if [[ ${WANDB_KEY_FROM:-} ]]; then
    WANDB_API_KEY=$(gcloud secrets versions access latest --secret="$WANDB_KEY_FROM")
    export WANDB_API_KEY
  fi
  "$@" 9>&- || code=$? # its children may outlive it, and must not hold the lock
  echo "$code" > run.exit
}

status() {
  if running; then
    echo "status: running"
  elif [[ -s run.exit ]]; then
    echo "status: exited $(< run.exit)"
  elif [[ -e run.pid ]]; then
    echo "status: lost"
  else
    echo "status: absent"
  fi
}

signal() {
  if running; then kill -s "$1" -- "-$(< run.pid)"; else say "nothing runs"; fi
}

case ${1:-} in
  start | hold) "$@" ;;
  status) status ;;
  stop) signal TERM ;;
  kill) signal KILL ;;
  *)
    say "say start, status, stop or kill"
    exit 2
    ;;
esac
