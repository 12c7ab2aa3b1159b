#!/bin/sh
# run.sh [NAME...] - what reads the code without running it. Without names all of:
#
#   format    clang-format over the C files
#   includes  who may include whom (includes.py: the architecture as three tables)
#   house     heads, sizes, banned functions, secrets, documents that point to what is there (house.py)
#   scripts   sh -n and shellcheck over the shell scripts
#   compile   gcc and clang, all warnings as errors
#   cppcheck  its warnings, performance and portability
#   tidy      clang-tidy with the list in .clang-tidy
#
# Quiet where all is well, but for a line at the end; else the findings, and status 1.
# Needs a configured build directory (BUILD, build/ by default) for its compile_commands.json.
# Debian 12: clang-14 clang-format-14 clang-tidy-14 cppcheck shellcheck python3 gcc.
set -eu
cd "$(dirname "$0")/../.."
lint=tests/lint
commands=${BUILD:-build}/compile_commands.json
jobs=$(nproc)
out=$(mktemp)
trap 'rm -f "$out"' EXIT

c_files() {
	find src tests bench -name '*.[ch]' | sort
}

# By name or by their first line: ./do and .ci/run have no suffix.
shell_scripts() {
	find . -path ./.git -prune -o -path './build*' -prune -o -type f -print |
		while read -r file; do
			case $file in
			*.sh) echo "$file" ;;
			*/do | ./.ci/*) sed -n '1{/^#!\/bin\/sh/p;}' "$file" | grep -q . && echo "$file" ;;
			esac
		done
}

check_format() {
	c_files | xargs clang-format-14 --dry-run -Werror
}

check_includes() {
	python3 $lint/includes.py --self-test && python3 $lint/includes.py
}

check_house() {
	python3 $lint/house.py --self-test && python3 $lint/house.py
}

check_scripts() {
	shell_scripts | xargs -n1 sh -n && shell_scripts | xargs shellcheck -s sh
}

check_compile() {
	python3 $lint/compile.py gcc "$commands" && python3 $lint/compile.py clang-14 "$commands"
}

check_cppcheck() {
	cppcheck -j"$jobs" --quiet --std=c11 --enable=warning,performance,portability \
		--inline-suppr --error-exitcode=1 -I src src
}

# One file a process: clang-tidy 14 takes the second file's va_list for uninitialized.
check_tidy() {
	find src -name '*.c' | sort |
		xargs -P"$jobs" -n1 clang-tidy-14 -p "${commands%/*}" --quiet 2>/dev/null
}

needs() {
	for tool in "$@"; do
		command -v "$tool" >/dev/null || {
			echo "lint: $tool is missing; see the head of $lint/run.sh" >&2
			exit 1
		}
	done
}

[ $# -gt 0 ] || set -- format includes house scripts compile cppcheck tidy
needs clang-format-14 clang-tidy-14 clang-14 gcc cppcheck shellcheck python3
[ -f "$commands" ] || meson setup "${commands%/*}" >"$out" || {
	cat "$out" >&2
	exit 1
}

failed='' started=$(date +%s)
for name; do
	if ! "check_$name" >"$out" 2>&1; then
		failed="$failed $name"
		printf '=== %s\n' "$name"
		cat "$out"
	fi
done
seconds=$(($(date +%s) - started))
if [ -n "$failed" ]; then
	echo "lint: failed in ${seconds} s:$failed"
	exit 1
fi
echo "lint: $(c_files | wc -l) C files, $(shell_scripts | wc -l) shell scripts: nothing found in ${seconds} s ($*)"
