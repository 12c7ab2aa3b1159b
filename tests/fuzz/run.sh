#!/bin/sh
# run.sh [TARGET [SECONDS]] - fuzz one target (imap_reader, imap_text) from the transcripts' seeds,
# then hold the lines covered against a floor. Fails on a crash, a hang, a leak, too much memory, or
# too little coverage. Inputs found are kept in the build directory and used again next time.
#
# Debian 12: clang-14, libclang-rt-14-dev (libFuzzer and the sanitizers), llvm-14 (llvm-profdata-14,
# llvm-cov-14). BUILD is where to build, FLOOR the least per cent of lines.
set -eu
target=${1:-imap_reader} seconds=${2:-20}
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${BUILD:-$root/build/fuzz} floor=${FLOOR:-90}
subject=src/wire/$target.c

for tool in clang-14 llvm-profdata-14 llvm-cov-14; do
	command -v $tool >/dev/null || {
		echo "$tool is missing: apt-get install clang-14 libclang-rt-14-dev llvm-14" >&2
		exit 1
	}
done
mkdir -p "$build/corpus/$target"
build=$(cd "$build" && pwd)
cd "$root"

flags='-std=gnu17 -D_GNU_SOURCE -Isrc -Itests -g'
# shellcheck disable=SC2086
clang-14 $flags -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
	-fprofile-instr-generate -fcoverage-mapping \
	"tests/fuzz/${target}_fuzz.c" tests/transcripts/reader_events.c \
	src/base/*.c src/wire/imap_reader.c src/wire/imap_text.c -o "$build/$target"
# shellcheck disable=SC2086
clang-14 $flags tests/transcripts/*.c src/base/*.c src/wire/imap_reader.c -o "$build/transcripts"
tests/fuzz/seeds.sh "$build/seeds" "$build/transcripts"

log=$build/$target.log
if ! LLVM_PROFILE_FILE=$build/$target.profraw "$build/$target" -max_total_time="$seconds" \
	-max_len=4096 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=1 \
	-artifact_prefix="$build/$target-" "$build/corpus/$target" "$build/seeds/$target" \
	>"$log" 2>&1; then
	tail -n 60 "$log" >&2
	exit 1
fi

llvm-profdata-14 merge -sparse "$build/$target.profraw" -o "$build/$target.profdata"
llvm-cov-14 report "$build/$target" -instr-profile="$build/$target.profdata" "$subject" \
	>"$build/$target.coverage"
executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
# Columns: file, regions ×3, functions ×3, lines, missed, per cent, branches ×3.
covered=$(awk '/^TOTAL/ {sub(/%/, "", $10); print $10}' "$build/$target.coverage")
echo "$target: $executed executions in $seconds s, $covered % of the lines of $subject"
if awk "BEGIN {exit !($covered < $floor)}"; then
	echo "that is less than $floor %; the lines missed:" >&2
	llvm-cov-14 show "$build/$target" -instr-profile="$build/$target.profdata" "$subject" |
		grep -E '^ *[0-9]+\| *0\|' >&2
	exit 1
fi
