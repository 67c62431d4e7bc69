# shellcheck shell=bash
# What all launchers share: how a run is named, its command line, and --dry-run. Sourced, never run.
#
# A run is the same three variables on every platform, and the flags after `--` for the rest:
#   EXPERIMENT  the Python file with config() -> TrainConfig, such as experiments/minislakh_tiny.py
#   DATA        the prepared data; a path that every process can read
#   OUT         the run's folder; a path that every process can write. The same again goes on with it
#   RESUME      auto (default): begin or go on; must: refuse to begin; never: refuse to go on
#   GMSDI       the program, where it is not `gmsdi` on the PATH
#
# Only this file knows the flags of `gmsdi train`. Commands are arrays from end to end: nothing is
# evaluated, so a path may hold blanks and quotes. No value of a secret is read, printed or written.

PROGRAM=${0##*/}
DRY_RUN=
WORDS=()    # what stands before `--` and is no option: the verb of launchers that have several
EXTRA=()    # what stands after `--`: more flags of `gmsdi train`
COMMAND=()  # what every process of the run executes
TRAVELS=()  # NAME=value of what a machine elsewhere must be told

say() { printf '%s: %s\n' "$PROGRAM" "$*" >&2; }

refuse() {
  say "$@"
  exit 2
}

unavailable() {
  say "$@"
  exit 4
}

# The comment at the top of the launcher is its help.
usage() {
  awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"
}

parse() {
  while (($#)); do
    case $1 in
      -h | --help) usage && exit ;;
      --dry-run) DRY_RUN=1 ;;
      --) EXTRA=("${@:2}") && return ;;
      -*) refuse "$1 is no option of this launcher: flags of gmsdi train stand after --" ;;
      *) WORDS+=("$1") ;;
    esac
    shift
  done
}

# need NAME...: every variable that is not set, named in one line.
need() {
  local name missing=()
  for name in "$@"; do [[ ${!name:-} ]] || missing+=("$name"); done
  ((${#missing[@]} == 0)) || refuse "not set: ${missing[*]} (see $PROGRAM --help)"
}

# whole FIRST NAME...: each is a whole number from FIRST (0 or 1) on. Before any arithmetic: bash
# runs commands that stand in a variable's value there.
whole() {
  local name
  for name in "${@:2}"; do
    [[ ${!name} =~ ^(0|[1-9][0-9]{0,8})$ && ${!name} != "$(($1 - 1))" ]] ||
      refuse "$name=${!name} is not a whole number from $1 on"
  done
}

one_of() {
  local name=$1 value
  for value in "${@:2}"; do [[ ${!name} != "$value" ]] || return 0; done
  refuse "$name=${!name} is not one of: ${*:2}"
}

# Exported variables that hold a secret, by the names that the world gives them.
secrets() {
  compgen -e | grep -E '(_KEY|TOKEN|SECRET|PASSWORD|PASSWD)$' || true
}

# A key typed into a flag would be in the process list, the log and the run's folder.
guard() {
  local name word
  while read -r name; do
    for word in "$@"; do
      [[ -z ${!name} || $word != *"${!name}"* ]] ||
        refuse "the value of $name stands in the command: launch/README.md says where secrets go"
    done
  done < <(secrets)
}

command_line() {
  local resume=${RESUME:-auto}
  need EXPERIMENT DATA OUT
  COMMAND=("${GMSDI:-gmsdi}" train "$EXPERIMENT" --data "$DATA" --out "$OUT" --resume "$resume")
  COMMAND+=("$@" ${EXTRA[@]+"${EXTRA[@]}"})
  guard "${COMMAND[@]}"
}

# The processes find each other by themselves: SLURM, TPU VMs, TPUs on GKE, Open MPI.
command_auto() { command_line --distributed auto; }

# command_at HOST:PORT PROCESSES PROCESS: they are told where the first one listens.
command_at() { command_line --coordinator "$1" --processes "$2" --process "$3"; }

# Settings that a machine elsewhere cannot inherit. JAX_PLATFORMS is a matter of each machine.
travels() {
  local name names=(XLA_FLAGS LIBTPU_INIT_ARGS JAX_COMPILATION_CACHE_DIR NCCL_DEBUG)
  names+=(WANDB_MODE WANDB_PROJECT WANDB_ENTITY)
  for name in "${names[@]}"; do [[ -z ${!name:-} ]] || TRAVELS+=("$name=${!name}"); done
  guard ${TRAVELS[@]+"${TRAVELS[@]}"}
}

# A command as a shell would read it back.
quoted() {
  local word line=''
  for word in "$@"; do
    [[ $word =~ ^[A-Za-z0-9_@%+=:,./-]+$ ]] || word="'${word//\'/\'\\\'\'}'"
    line+="$word "
  done
  printf '%s\n' "${line% }"
}

run() {
  if [[ $DRY_RUN ]]; then quoted "$@"; else "$@"; fi
}
