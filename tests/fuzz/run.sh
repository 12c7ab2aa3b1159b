#!/bin/sh
# run.sh [SECONDS [TARGET...]] - build the fuzzers, give each TARGET (without: all) that many seconds from
# its seeds, two at a time, and end with a table: executions, lines covered by the seeds alone and
# after the run. Fails on a crash, a hang, a leak, too much memory, and where the seeds cover less
# than the floor. What was found new is kept in BUILD/corpus and used again next time; what breaks
# something lies in BUILD as TARGET-crash-...
#
# Debian 12: clang-14, libclang-rt-14-dev (libFuzzer and the sanitizers), llvm-14 (llvm-profdata-14,
# llvm-cov-14), and what godwit is built of. BUILD is where to build.
set -eu
seconds=${1:-20}
[ $# = 0 ] || shift
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${BUILD:-$root/build/fuzz}
cd "$root"

# target, the floor in per cent, what it is about
targets() {
	cat <<'END'
imap_reader 97 wire/imap_reader.c
imap_text 90 wire/imap_text.c
sasl 75 wire/sasl.c
identity 95 model/identity.c
endpoint 80 model/endpoint.c
names 95 model/names.c
maildir_name 94 connect/maildir/name.c connect/maildir/lines.c
maildir_files 78 connect/maildir/keywords.c connect/maildir/subscriptions.c
frames 87 model/exception.c fleet/protocol.c
remote 80 ledger/remote.c net/channel.c
worker 61 fleet/controller.c cli/events.c cli/report.c
ledger 62 ledger/schema.c ledger/ledger.c ledger/owners.c
ledger_line 66 cli/ledger_line.c ledger/inspect.c
END
}

for tool in clang-14 llvm-profdata-14 llvm-cov-14 meson ninja; do
	command -v $tool >/dev/null || {
		echo "$tool is missing: apt-get install clang-14 libclang-rt-14-dev llvm-14 meson ninja-build" >&2
		exit 1
	}
done
# shellcheck disable=SC2046 # the words of the list
[ $# -gt 0 ] || set -- $(targets | cut -d ' ' -f 1)
[ -e "$build/build.ninja" ] || CC=clang-14 meson setup "$build" -Dfuzz=true --buildtype=debug --optimization=1 \
	-Db_sanitize=address,undefined -Db_lundef=false >"$build.log" 2>&1 || {
	cat "$build.log" >&2
	exit 1
}
ninja -C "$build" fuzzers >"$build/ninja.log" 2>&1 || {
	cat "$build/ninja.log" >&2
	exit 1
}
programs=$build/tests/fuzz
LLVM_PROFILE_FILE=$build/tools.profraw tests/fuzz/seeds.sh "$build/seeds" "$programs"
plain='' # a sanitizer's shadow does not fit beside addresses that are drawn from 32 bits
! setarch -R true 2>/dev/null || plain='setarch -R'
export ASAN_OPTIONS=detect_stack_use_after_return=1:quarantine_size_mb=8

fuzz() { # TARGET PHASE OPTION... DIRECTORY...: its log and what it covered
	target=$1 phase=$2
	shift 2
	LLVM_PROFILE_FILE=$build/$target.$phase.profraw $plain "$programs/${target}_fuzz" -max_len=4096 -timeout=10 \
		-rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix="$build/$target-" "$@" \
		>"$build/$target.$phase.log" 2>&1
}

one() { # TARGET
	mkdir -p "$build/corpus/$1"
	fuzz "$1" seeds -runs=0 "$build/seeds/$1" &&
		fuzz "$1" run -max_total_time="$seconds" "$build/corpus/$1" "$build/seeds/$1"
}

# Two at a time.
for target; do
	{ one "$target" && echo ok || echo failed; } >"$build/$target.end" &
	[ -z "${before:-}" ] || wait "$before"
	before=$!
done
wait

covered() { # TARGET PHASE: per cent of the lines of its subjects
	llvm-profdata-14 merge -sparse "$build/$1.$2.profraw" -o "$build/$1.$2.profdata"
	llvm-cov-14 report "$programs/${1}_fuzz" -instr-profile="$build/$1.$2.profdata" >"$build/$1.$2.coverage"
	# Columns: file, regions ×3, functions ×3, lines, missed, per cent, branches ×3.
	for subject in $(targets | sed -n "s/^$1 [0-9]* //p"); do
		grep "src/$subject " "$build/$1.$2.coverage"
	done | awk '{lines += $8; missed += $9} END {printf "%.1f", 100 - 100 * missed / lines}'
}

status=0
printf '%-14s %12s %7s %7s %6s  %s\n' target executions seeds run floor about
for target; do
	if [ "$(cat "$build/$target.end")" != ok ]; then
		status=1
		tail -n 60 "$build/$target.run.log" "$build/$target.seeds.log" 2>/dev/null >&2 || true
		printf '%-14s FAILED, see above\n' "$target"
		continue
	fi
	floor=$(targets | sed -n "s/^$target \([0-9]*\) .*/\1/p")
	about=$(targets | sed -n "s/^$target [0-9]* //p")
	executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$target.run.log")
	by_seeds=$(covered "$target" seeds)
	printf '%-14s %12s %6s%% %6s%% %5s%%  %s\n' "$target" "$executed" "$by_seeds" "$(covered "$target" run)" \
		"$floor" "$about"
	if awk "BEGIN {exit !($by_seeds < $floor)}"; then
		echo "the seeds of $target cover less than its floor; lines missed: llvm-cov-14 show" >&2
		status=1
	fi
done
exit $status
