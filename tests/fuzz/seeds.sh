#!/bin/sh
# seeds.sh OUT TRANSCRIPTS - the first inputs for the fuzzers, in OUT/imap_reader and OUT/imap_text.
# TRANSCRIPTS is the built reader_transcripts; every sample of tests/transcripts/imap is a seed.
set -eu
out=$1 transcripts=$2
here=$(dirname "$0")

mkdir -p "$out/imap_reader" "$out/imap_text"
for sample in "$here"/../transcripts/imap/*.txt; do
	"$transcripts" --bytes "$sample" >"$out/imap_reader/$(basename "$sample" .txt)"
done

n=0
while read -r line; do
	n=$((n + 1))
	printf '%s' "$line" >"$out/imap_text/$n"
done <<'END'
INBOX/Entw&APw-rfe &- &2D3eAA-
Entwürfe 台北 😀
17-Jul-1996 02:44:25 -0700
1-Jan-0001 0:0:0 gmt
31-Dec-9999 23:59:60 +0000
say "hi" \o/
1:3,9,7:5,4294967295
END
