#!/bin/sh
# fetch.sh DIR: unpack the real mail servers that the tests run against below DIR.
#
#   DIR/dovecot  DIR/cyrus  DIR/courier
#
# Debian's three packages exclude one another, and a server that is *installed* starts
# by itself and leaves users and files behind. So nothing is installed: each server gets
# a small root of its own, complete with libc and every library it needs, into which
# servers.py changes root. What the machine has or lacks does not matter.
#
# apt works out what belongs to a root, as if onto an empty disk; STUBS are the packages
# that only maintainer scripts and administrators want, claimed to be there already.
# Needs: apt with up-to-date lists (apt-get update), dpkg, tar, flock. Prints nothing when
# all is there already. Two at a time are safe: one waits for the other.
set -eu

ROOTS="dovecot cyrus courier"
packages() {
	case $1 in
	dovecot) echo dovecot-core dovecot-imapd openssl ;;
	cyrus) echo cyrus-imapd cyrus-common sasl2-bin libsasl2-modules libsasl2-modules-db libeatmydata1 ;;
	courier) echo courier-imap courier-base courier-authdaemon courier-authlib courier-authlib-userdb openssl \
		libeatmydata1 ;;
	esac
	echo libc6 dash
}
STUBS="adduser debconf perl perl-base ucf ssl-cert lsb-base sysvinit-utils init-system-helpers
	default-mta
	netbase e2fsprogs db-util gawk libpam-runtime gnutls-bin"

die() {
	echo "fetch.sh: $*" >&2
	exit 1
}

# A dpkg status file for an empty disk on which only STUBS are installed.
stub_status() {
	for stub in $STUBS; do
		case $stub in
		default-mta) extra="Provides: mail-transport-agent" ;;
		debconf) extra="Provides: debconf-2.0" ;;
		*) extra="Section: misc" ;;
		esac
		multi=foreign
		[ "$stub" != perl ] || multi=allowed
		printf 'Package: %s\nStatus: install ok installed\nArchitecture: %s\nMulti-Arch: %s\nMaintainer: none\nVersion: 1:99999\n%s\nDescription: not needed here\n\n' \
			"$stub" "$arch" "$multi" "$extra"
	done
}

apt_as_if_empty() { # ARCHIVES-DIR ARGS...
	archives=$1
	shift
	apt-get -qq -y -o Dir::State::status="$work/status" -o Dir::State::extended_states="$work/extended" \
		-o Dir::Cache::archives="$archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
		-o Debug::NoLocking=1 -o APT::Sandbox::User=root -o APT::Install-Recommends=false \
		-o APT::Get::AllowUnauthenticated=false "$@"
}

# The merged /usr must be there before the first package is unpacked over it.
new_root() {
	mkdir -p "$1"
	for top in bin sbin lib lib32 lib64; do
		mkdir -p "$1/usr/$top"
		ln -s "usr/$top" "$1/$top"
	done
	mkdir -p "$1/dev" "$1/etc" "$1/proc" "$1/run" "$1/srv" "$1/tmp" "$1/var"
}

fetch_root() {
	name=$1
	# shellcheck disable=SC2046 # the words of the list
	set -- $(packages "$name")
	echo "fetch.sh: fetching $name for the tests" >&2
	urls=$(apt_as_if_empty "$work/none" install --print-uris "$@") ||
		die "apt cannot find what $name needs: run 'apt-get update' first, as root, on Debian 12"
	apt_as_if_empty "$dir/debs" install --download-only "$@" >/dev/null ||
		die "apt could not download $name: see above"
	new_root "$work/$name"
	echo "$urls" | while read -r _ file _; do
		dpkg-deb --fsys-tarfile "$dir/debs/$file" |
			tar -C "$work/$name" -x --keep-directory-symlink --no-same-owner \
				--exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' ||
			die "cannot unpack $file"
	done
	echo "$recipe" >"$work/$name/.complete"
	rm -rf "${dir:?}/$name"
	mv "$work/$name" "$dir/$name"
}

[ $# -eq 1 ] || die "usage: fetch.sh DIR"
case $1 in /*) dir=$1 ;; *) dir=$PWD/$1 ;; esac
recipe=$(cksum <"$0")
missing=
for root in $ROOTS; do
	[ "$(cat "$dir/$root/.complete" 2>/dev/null)" = "$recipe" ] || missing="$missing $root"
done
[ -n "$missing" ] || exit 0

for tool in apt-get dpkg dpkg-deb tar flock; do
	command -v $tool >/dev/null || die "$tool is missing: this works on Debian only"
done
[ "$(id -u)" = 0 ] || die "must be root: the servers are unpacked to run in roots of their own"
mkdir -p "$dir/debs/partial"
exec 9>"$dir/.lock"
flock 9
arch=$(dpkg --print-architecture)
work=$(mktemp -d "$dir/new.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$work/none/partial" # where nothing is cached, so that --print-uris lists all
stub_status >"$work/status"
for root in $missing; do
	[ "$(cat "$dir/$root/.complete" 2>/dev/null)" = "$recipe" ] || fetch_root "$root"
done
rm -rf "$dir/debs"
