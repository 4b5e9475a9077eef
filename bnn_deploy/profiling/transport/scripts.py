"""The small shell programs that run on a device: all that is needed there besides the board binary.

For any POSIX shell with coreutils, busybox or toybox. Data come as arguments, never as part of a script. Each prints
BEGIN when it starts, since a login shell's start-up files may print, too. All but KEEP print END and an exit code on
stderr at last: without it the connection, or the shell, is gone. KEEP prints it when it found no place.
"""

BEGIN = "bnn-deploy:begin"
END = "bnn-deploy:end"

# $1: a lost session's folder, or nothing; $2: KiB that must be free; $3...: places to try instead of the usual ones.
# Ends what a lost session left, asked first, so that a holder puts the clock back; makes this session's folder where
# files can be written and executed, prints its name, and removes it when the input ends: when the session ends,
# however it ends.
KEEP = f"""
remains() {{
  for signal in TERM 0 0 0 0 KILL; do
    left=
    for process in /proc/[0-9]*; do
      case "$(readlink "$process/cwd" 2>/dev/null)" in
        "$1" | "$1 (deleted)") kill -s $signal "${{process#/proc/}}" 2>/dev/null && left=1 ;;
      esac
    done
    [ -n "$left" ] || break
    sleep 0.3 2>/dev/null || sleep 1
  done
  rm -rf "$1"
}}
leave() {{ cd / && rm -rf "$folder" || {{ sleep 1; rm -rf "$folder"; }} }}
umask 077
[ -z "$1" ] || remains "$1"
needed=$2
shift 2
[ $# -gt 0 ] || set -- "$XDG_RUNTIME_DIR" /tmp /var/tmp /dev/shm "$HOME" /data/local/tmp
for place do
  [ -d "$place" ] || continue
  free=$(df -Pk "$place" 2>/dev/null | {{ read -r _; read -r _ _ _ free _; echo "$free"; }})
  if [ "${{free:-0}}" -lt "$needed" ]; then
    echo "$place: no space: ${{free:-?}} KiB free, $needed needed" >&2
    continue
  fi
  if ! folder=$(mktemp -d "$place/bnn-deploy.XXXXXX" 2>/dev/null); then
    echo "$place: cannot be written" >&2
    continue
  fi
  trap 'leave; exit 1' HUP INT TERM PIPE
  printf '#!/bin/sh\\nexit 7\\n' 2>/dev/null >"$folder/try"
  chmod 700 "$folder/try"
  "$folder/try" 2>/dev/null
  if [ $? = 7 ]; then
    rm "$folder/try"
    cd "$folder" || exit 1
    echo {BEGIN}
    echo "$folder"
    cat >/dev/null
    leave
    exit 0
  fi
  echo "$place: programs cannot be executed there (mounted noexec?)" >&2
  rm -rf "$folder"
done
echo "{END} 1" >&2
"""

# $1: the session's folder; $2...: a program, which is killed when this shell's input ends: then nobody waits for it.
RUN = f"""
cd "$1" || exit 1
shift
echo {BEGIN}
exec 3<&0
"$@" </dev/null 3<&- &
program=$!
{{ cat <&3; kill -9 "$program"; }} >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$program"
code=$?
kill -9 "$watcher" 2>/dev/null
echo "{END} $code" >&2
"""

# $1: the session's folder; $2...: a program that ends when its input ends.
HOLD = f"""
cd "$1" || exit 1
shift
echo {BEGIN}
"$@"
echo "{END} $?" >&2
"""

# $1: the session's folder; $2: a name in it; $3: SHA-256 of the bytes that come as input.
PUSH = f"""
cd "$1" || exit 1
echo {BEGIN}
part="./.part.$2"
if cat >"$part" && chmod 700 "$part"; then
  sum=$(sha256sum <"$part")
  if [ "${{sum%% *}}" = "$3" ]; then
    mv -f "$part" "./$2"
    echo "{END} $?" >&2
    exit
  fi
  echo "SHA-256 of what arrived is ${{sum%% *}}, of what was sent $3" >&2
fi
rm -f "$part"
echo "{END} 1" >&2
"""

# $1: the session's folder; $2: a file. Its SHA-256, a line with its size, then its bytes.
PULL = f"""
cd "$1" || exit 1
echo {BEGIN}
sha256sum <"$2" && wc -c <"$2" && cat <"$2"
echo "{END} $?" >&2
"""
