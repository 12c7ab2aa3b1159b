#!/bin/sh
# all.sh - everything that tests godwit; `./do test` runs it when all it needs is installed.
#
# The last line is "N passed, N failed". Nothing stops at the first failure: the rest is run
# too, so that one run tells all. TESTS (build/tests) is where logs are kept.
set -u
# Under nohup or in the background some signals are ignored; the tests want them as usual.
[ "${GODWIT_TESTS-}" ] || GODWIT_TESTS=1 exec env --default-signal=HUP,INT,QUIT,TERM sh "$0" "$@"
cd "$(dirname "$0")/.." || exit 1
logs=${TESTS:-$PWD/build/test-logs}
rm -rf --one-file-system "$logs"
mkdir -p "$logs/sanitizers"
: >"$logs/steps"
meson_logs=

banner() { printf '\n== %s (%s)\n' "$1" "$(date +%H:%M:%S)"; }

step() { # NAME COMMAND...
	name=$1
	shift
	banner "$name"
	if "$@" >"$logs/step.log" 2>&1; then
		echo "ok $name" >>"$logs/steps"
	else
		cat "$logs/step.log"
		echo "== $name FAILED"
		echo "failed $name" >>"$logs/steps"
		return 1
	fi
}

compiled() { # DIRECTORY COMPILER OPTION...
	directory=$1 compiler=$2
	shift 2
	if [ -e "$directory/build.ninja" ]; then
		meson configure "$directory" -Dtests=enabled -Dbench=enabled
	else
		CC=$compiler meson setup "$directory" --buildtype=debugoptimized -Dtests=enabled -Dbench=enabled "$@"
	fi && ninja -C "$directory"
}

run() { # NAME DIRECTORY LOG MESON-TEST-OPTION...
	name=$1 directory=$2 log=$3
	shift 3
	banner "$name"
	rm -f "$directory/meson-logs/$log"*.json
	meson test -C "$directory" --no-rebuild --print-errorlogs --logbase "$log" "$@"
	for file in "$directory/meson-logs/$log"*.json; do # with a wrapper's name in it; or the pattern, which is missing
		meson_logs="$meson_logs $file"
	done
}

# meson passes over names that it does not know.
known() { # DIRECTORY TEST...
	list=$(meson test -C "$1" --list)
	shift
	for name in "$@"; do
		echo "$list" | grep -q "/ $name\$" || echo "failed $name: there is no such test" >>"$logs/steps"
	done
}

# What a sanitizer finds goes to a file of its own, also from a process whose end nobody looks at.
no_reports() {
	for report in "$logs/sanitizers/"*; do
		[ -e "$report" ] || return 0
		echo "--- $report"
		cat "$report"
	done
	return 1
}

step "build with gcc" compiled build gcc &&
	run "gcc: unit tests, transcripts, fuzzing, servers, faults" build all
step "lint" sh tests/lint/run.sh
step "build with clang" compiled build/clang clang-14 &&
	run "clang: unit tests, transcripts" build/clang units --suite unit --suite transcript

export ASAN_OPTIONS="log_path=$logs/sanitizers/asan:exitcode=99:detect_stack_use_after_return=1"
export UBSAN_OPTIONS="log_path=$logs/sanitizers/ubsan:print_stacktrace=1:halt_on_error=1:exitcode=99"
export TSAN_OPTIONS="log_path=$logs/sanitizers/tsan:exitcode=99:halt_on_error=1"
export GODWIT_BRIEF=1
# A sanitizer's shadow does not fit beside addresses that are drawn from 32 bits, as newer kernels do.
plain=
! setarch -R true 2>/dev/null || plain="--wrapper=setarch -R"
asan_servers="FromDovecot FromCourier Shared Login Large Stops KillsFromCyrus DovecotToDovecot Lanes Accidents Verify ContractOfFake copy_fuzz"
tsan_units="net_resolve net_conn net_tcp ledger_remote Lanes"
# shellcheck disable=SC2086 # the words of the lists
if step "build with the address and undefined behaviour sanitizers" \
	compiled build/asan clang-14 -Db_sanitize=address,undefined -Db_lundef=false; then
	run "address and undefined behaviour sanitizers: unit tests, transcripts, faults" build/asan units \
		${plain:+"$plain"} --timeout-multiplier 4 --suite unit --suite transcript --suite fault --no-suite defects
	known build/asan $asan_servers
	run "address and undefined behaviour sanitizers: servers" build/asan servers \
		${plain:+"$plain"} --timeout-multiplier 4 $asan_servers
fi
# shellcheck disable=SC2086
if step "build with the thread sanitizer" compiled build/tsan gcc -Db_sanitize=thread; then
	known build/tsan $tsan_units
	run "thread sanitizer: where threads meet" build/tsan threads \
		${plain:+"$plain"} --timeout-multiplier 4 $tsan_units
fi
step "sanitizers found nothing" no_reports

banner "all tests"
# shellcheck disable=SC2086 # the words of the list
exec python3 tests/kit/summary.py --steps "$logs/steps" $meson_logs
