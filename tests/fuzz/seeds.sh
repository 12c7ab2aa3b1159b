#!/bin/sh
# seeds.sh OUT BUILD - the first inputs for the fuzzers, in OUT/TARGET/. BUILD is where fuzz_seeds (packed
# bytes) and reader_transcripts lie; every sample of tests/transcripts/imap is a seed, and so is what
# once broke something (tests/fuzz/found/TARGET).
set -eu
out=$1 build=$2
here=$(dirname "$0")

rm -rf --one-file-system "$out"
for target in imap_reader imap_text sasl identity endpoint names maildir_name maildir_files frames remote worker \
	ledger ledger_line; do
	mkdir -p "$out/$target"
	[ ! -d "$here/found/$target" ] || cp "$here/found/$target"/* "$out/$target"
done
for sample in "$here"/../transcripts/imap/*.txt; do
	"$build/reader_transcripts" --bytes "$sample" >"$out/imap_reader/$(basename "$sample" .txt)"
done
"$build/fuzz_seeds" "$out"

n=0
seed() { # TARGET FORMAT: as printf has it
	n=$((n + 1))
	# shellcheck disable=SC2059 # the format is the seed
	printf "$2" >"$out/$1/$n"
}

seed imap_text 'INBOX/Entw&APw-rfe &- &2D3eAA-'
seed imap_text 'Entwürfe 台北 😀'
seed imap_text '17-Jul-1996 02:44:25 -0700'
seed imap_text '1-Jan-0001 0:0:0 gmt'
seed imap_text '31-Dec-9999 23:59:60 +0000'
seed imap_text 'say "hi" \\o/'
seed imap_text '1:3,9,7:5,4294967295'

# mechanism (a letter, modulo 5: d e f g h), then challenges; '=' plain text, '~' our nonce
seed sasl 'd\n=r=~srv,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096\n=v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=\n'
seed sasl 'e\n=r=~srv,s=QSXCR+Q6sek8bf92,i=4096\n=v=rmF9pqV8S7suAoZWja4dJRkFsKQ=\n'
seed sasl 'd\n=r=~srv,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=99999999\n'
seed sasl 'i\n=r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1\nnot base64\n'
seed sasl 'f\n\n'
seed sasl 'g\n=Username:\n=Password:\n=Again:\n'
seed sasl 'h\n\neyJzdGF0dXMiOiI0MDEifQ==\n'

seed identity 'From: a@b\r\nSubject: hi\r\nMessage-ID: <1@b>\r\nX-UID: 7\r\n 8\r\n\r\nHello\r\nyou\r\n'
seed identity 'From: a@b\nMessage-ID:\n <1@b>\nStatus : RO\nX-Odd: \351\000\n\nHello\nbare\rcr\r\n\000nul'
seed identity 'no header at all'
seed identity '\n\nabc'
seed identity 'Message-Id: <one@b>\nmessage-id: <two@b>\nA:b\r'

seed endpoint 'imaps://anna%%40example.org@mail.example.org/'
seed endpoint 'imap://anna@example.org@[2001:db8::1]:1143/?tls=none&auth=scram-sha-256&authzid=b%%40c&id=x'
seed endpoint 'maildir:/home/anna/Mail dir?layout=fs&id=a'
seed endpoint 'maildir:///home/anna#1?layout=maildir++'
seed endpoint 'maildir:relative'
seed endpoint 'imaps://a@host.example.:993?auth=login'
seed endpoint 'pop3://a@b/'
seed endpoint 'imaps://a:secret@b/'

seed names '/\200f\ns0INBOX\ns1Sent\ns0Work/Old\ns0work/old\nd1Gesendet\nd0Work\ns0INBOX/a.b\n'
seed names '.\031f\ns0A/B.C/D\ns0A\nm0Archiv\ns0\001x/\351\ns0a-very-long-name-that-must-be-cut-somewhere/and/below\n'
seed names ' \000\ns0A/B\ns0A_B\ns0cur\ns0INBOX/x\nd0A_B\ns3inbox\ns2Drafts\nd2Entw\303\274rfe\n'

seed maildir_name '1700000000.M000001Q00112233445566778899aabbccddeeff.godwit,S=1200,W=1230:2,FS'
seed maildir_name '1700000000.M1P2.host,S=12,W=13,U=5:2,abST'
seed maildir_name '1700000000.strange name!2,S\r\r\nx\ny\r\n'
seed maildir_name 'one\r\ntwo\r\n'

# shellcheck disable=SC2016 # a keyword
seed maildir_files '\\Seen Work $Forwarded\nSent\n0 Work\n1 $Junk\n25 Last\n26 None\nx\n'
seed maildir_files 'a b c d e f g h i j k l m n o p q r s t u v w x y z aa bb\nA.B\nV\t2\n\nA\tB\nINBOX\n'
seed maildir_files 'Work\nINBOX\nSent\nTrash\n'

seed ledger_line '{"kind":"pair","source":"a","destination":"b","pass":3,"begun":-5}\n'
seed ledger_line '{"kind":"flags","number":1,"flags":"\\\\Seen Work"}\n'
seed ledger_line '{"kind":"flags","number":2,"flags":{"hex":"ff00"}}\n'
seed ledger_line '{"kind":"folder","number":1,"source_name":"INBOX","target_path":["A","B"],"target_name":"A/B",
"source_object":"","target_object":"","cursor":"1 2","tail":"","source_seen":"1","target_seen":"2","floor":"","finished":2,
"limit":0,"stored":1,"refused":0,"owed":0,"found":0,"left":0,"gone":0,"subscribed":true,"fidelity":1,"top_id":"7",
"second_id":"","third_id":""}'
seed ledger_line '{"kind":"item","folder":1,"id":"7","state":"refused","target_id":"9",
"header":"00112233445566778899aabbccddeeff","size":300,"object":"18446744073709551615","gone":false,"pass":1,
"source_flags":1,"target_flags":1,"target_assumed":true,"cause":"too-big","reason":"big",
"sent_header":"00000000000000000000000000000000"}'
seed ledger_line '{"kind":"item","folder":1,"id":"8","state":"stored","target_id":"10",
"header":"00112233445566778899aabbccddeeff","size":300,"object":"0","gone":false,"pass":1,
"source_flags":1,"target_flags":1,"target_assumed":false,"cause":"repaired","reason":"mended: NUL",
"sent_header":"ff112233445566778899aabbccddeeff"}'
seed ledger_line '{"kind":"intent","folder":1,"id":"7","state":"open","bytes":300,"canonical_bytes":301,
"msgid_digest":"0011223344556677","header":"00112233445566778899aabbccddeeff",
"body":"00112233445566778899aabbccddeeff","odd":true,"exact":"00112233445566778899aabbccddeeff","date":-1,"date_zone":-60,
"date_known":true,"source_date":1,"source_date_zone":0,"source_date_known":false,"flags":0,"source_flags":0,"msgid":"<a>",
"size":1,"object":0,"repair":"","source_header":"00000000000000000000000000000000"}'
# a line is one line
for file in "$out"/ledger_line/*; do
	joined=$(tr -d '\n' <"$file")
	printf '%s\n' "$joined" >"$file"
done
