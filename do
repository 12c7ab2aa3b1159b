#!/bin/sh
# do - what a newcomer needs, by one word. Works on a fresh Debian 12 with nothing but apt:
# each verb installs what it misses, as root or through sudo. ./do help lists the verbs.
set -eu
cd "$(dirname "$0")"
export DEBIAN_FRONTEND=noninteractive
GODWIT_CACHE=${GODWIT_CACHE:-$PWD/build/cache} # the mail servers for demo and tests
export GODWIT_CACHE

BUILD="gcc libc6-dev meson ninja-build pkg-config libssl-dev libgsasl-dev libsqlite3-dev libsodium-dev
	libjansson-dev libutf8proc-dev scdoc"
SERVERS="python3 openssl mount util-linux"
LINT="clang-14 clang-format-14 clang-tidy-14 cppcheck shellcheck python3 libcmocka-dev"
FUZZ="clang-14 libclang-rt-14-dev llvm-14 python3"
TEST="libcmocka-dev patch $FUZZ"
BENCH="isync interimap nftables iproute2"

usage() {
	cat <<'END'
./do demo     migrate a sample mailbox between two real mail servers, here
./do build    build build/godwit
./do test     build with gcc and clang, run everything that tests it
./do lint     what needs no running: format, include rule, static checks
./do fuzz     fuzz whatever reads foreign bytes, and whole copies; FUZZ_SECONDS=60 each
./do faults   stop the program wherever it can stop, resume, compare
./do bench    measure a copy beside the floor and its rivals; --long, or cases

Each installs the Debian packages it needs. demo, test, faults and bench run
mail servers in small roots of their own and must be root, or sudo.
END
}

say() { echo "do: $*" >&2; }

die() {
	say "$*"
	exit 1
}

# Packages.

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo DEBIAN_FRONTEND="$DEBIAN_FRONTEND" "$@"
	else
		die "must be root, or have sudo, for: $*"
	fi
}

# Run all of this as root from here on.
be_root() {
	[ "$(id -u)" != 0 ] || return 0
	command -v sudo >/dev/null || die "must be root, or have sudo: the mail servers run in roots of their own"
	say "going on as root: the mail servers run in roots of their own"
	exec sudo GODWIT_CACHE="$GODWIT_CACHE" "$PWD/do" "$@"
}

# What sudo made belongs to who asked for it.
give_back() {
	[ -z "${SUDO_UID:-}" ] || [ ! -d build ] || chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" build
}

quietly() { # WHAT COMMAND...: its output only if it fails
	what=$1 log=$(mktemp)
	shift
	if ! "$@" >"$log" 2>&1; then
		cat "$log" >&2
		rm -f "$log"
		die "$what failed, see above"
	fi
	rm -f "$log"
}

apt_updated=
apt_update() {
	[ -z "$apt_updated" ] || return 0
	quietly "apt-get update" as_root apt-get -q update
	apt_updated=yes
}

need() { # PACKAGE...
	missing=
	for package in "$@"; do
		case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) in
		installed) ;;
		*) missing="$missing $package" ;;
		esac
	done
	[ -n "$missing" ] || return 0
	say "installing$missing"
	apt_update
	# shellcheck disable=SC2086 # the words of the list
	quietly "apt-get install" as_root apt-get -q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 \
		install --no-install-recommends $missing
}

need_servers() {
	# shellcheck disable=SC2086
	need $SERVERS
	for server in dovecot cyrus courier; do
		[ -e "$GODWIT_CACHE/servers/$server/.complete" ] || apt_update
	done
	sh tests/kit/fetch.sh "$GODWIT_CACHE/servers" || die "the mail servers could not be fetched"
}

# A bare chroot has no /etc/hosts, and so no localhost, which tests ask for.
need_localhost() {
	getent hosts localhost >/dev/null && return 0
	[ ! -e /etc/hosts ] || die "there is no address for localhost: mend /etc/hosts"
	say "writing /etc/hosts, which this system lacks"
	printf '127.0.0.1 localhost\n::1 localhost\n' | as_root tee /etc/hosts >/dev/null
}

# Building.

configure() { # DIRECTORY COMPILER OPTION...
	directory=$1 compiler=$2
	shift 2
	if [ -e "$directory/build.ninja" ]; then
		[ $# = 0 ] || quietly "meson configure $directory" meson configure "$directory" "$@"
	else
		quietly "meson setup $directory" env CC="$compiler" meson setup "$directory" --buildtype=debugoptimized "$@"
	fi
}

build() {
	# shellcheck disable=SC2086
	need $BUILD
	[ -e build/godwit ] || say "building, which takes half a minute"
	configure build gcc
	quietly "the build" ninja -C build
}

# The verbs.

do_build() {
	build
	say "build/godwit is there; build/godwit help says what it can do"
}

do_demo() {
	be_root demo
	need_servers
	build
	status=0
	python3 tests/kit/demo.py || status=$?
	give_back
	return $status
}

do_lint() {
	# shellcheck disable=SC2086
	need $BUILD $LINT
	configure build gcc -Dtests=enabled -Dbench=enabled
	sh tests/lint/run.sh "$@"
}

do_fuzz() {
	# shellcheck disable=SC2086
	need $BUILD $FUZZ
	need_localhost
	status=0
	sh tests/fuzz/run.sh "${FUZZ_SECONDS:-60}" || status=$?
	configure build/asan clang-14 -Db_sanitize=address,undefined -Db_lundef=false
	quietly "the build with sanitizers" ninja -C build/asan godwit
	plain="" # a sanitizer's shadow does not fit beside addresses that are drawn from 32 bits
	! setarch -R true 2>/dev/null || plain="setarch -R"
	GODWIT=$PWD/build/asan/godwit $plain python3 -W ignore::ResourceWarning tests/fuzz/copy_fuzz.py \
		--seconds "${FUZZ_SECONDS:-60}" || status=$?
	return $status
}

do_faults() {
	be_root faults
	# shellcheck disable=SC2086
	need $SERVERS
	need_localhost
	build
	status=0
	export GODWIT="$PWD/build/godwit"
	if [ $# -gt 0 ]; then
		python3 tests/faults/run.py "$@" || status=$?
	else
		need_servers
		python3 tests/faults/run.py --all || status=$?
		# and between real servers, a few hundred times at random moments
		GODWIT_KILL_ROUNDS=30 python3 tests/servers/stops.py \
			KillsFromDovecot KillsFromCyrus KillsFromCourier ServerKills || status=$?
	fi
	give_back
	return $status
}

do_bench() {
	be_root bench "$@"
	# shellcheck disable=SC2086
	need $BUILD $SERVERS $BENCH
	need_servers
	configure build gcc -Dbench=enabled
	quietly "the build" ninja -C build
	status=0
	python3 -W ignore::ResourceWarning bench/run.py "$@" || status=$?
	give_back
	return $status
}

do_test() {
	be_root test
	# shellcheck disable=SC2086
	need $BUILD $LINT $TEST
	need_localhost
	need_servers
	status=0
	sh tests/all.sh || status=$?
	give_back
	return $status
}

verb=${1:-help}
[ $# = 0 ] || shift
case $verb in
demo | test | build | lint | fuzz | faults | bench) "do_$verb" "$@" ;;
help | -h | --help) usage ;;
*)
	usage >&2
	exit 2
	;;
esac
