#!/usr/bin/env bash
# Measures everything and writes what came of it: bench/RESULTS.md, tables with machine, versions and date, and the curves next to it.
#
#   bench/all.sh [-s] [ROUNDS]     default: 5 rounds of a second, about an hour on a machine that does nothing else;
#                                  -s: a moment of each with small loads, to see that it all works, into a folder of its own
#
# What is on disk is measured on the disk that this folder is on.
#
# Needs what doc.go says, and files to be opened: a process has as many as it has peers.
set -euo pipefail
cd "$(dirname "$0")"
seconds=1 peers=10000 subscriptions=1000000 backlog=3000000 benchtime=1s out=$PWD
sizes=16,64,256,1KiB,4KiB,16KiB,64KiB,256KiB,1MiB,4MiB,16MiB
while getopts s flag; do
	case $flag in
	s) seconds=0.02 peers=100 subscriptions=10000 backlog=200000 benchtime=10x out=$(mktemp -d) sizes=${sizes%,*,*} ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
rounds=${1:-5}
[ "$seconds" = 1 ] || rounds=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd .. && go build -o "$work/meshmq" ./cmd/meshmq)

# A process may have fewer files open: the curve ends there, and says so.
files=$(ulimit -Hn) note=
if [ "$files" != unlimited ] && [ "$files" -lt $((peers + 100)) ]; then
	note=" This machine allows $files files for each process (\`ulimit -Hn\`), so that the curve ends before $peers peers."
	peers=$((files - 100))
fi

upto() { # MOST NUMBER...: the numbers below MOST, then MOST
	local most=$1 n list=
	shift
	for n; do [ "$n" -ge "$most" ] || list+=$n,; done
	echo "$list$most"
}

section() { printf '\n## %s\n\n%s\n\n' "$1" "$2"; }

measure() { "$work/meshmq" bench --rounds "$rounds" --duration "${seconds}s" --markdown "$@"; }

curve() { # NAME ARGUMENT...: a table, and NAME.svg of it
	local name=$1
	shift
	measure "$@" --plot "$work/$name.svg"
	printf '\n![%s](%s.svg)\n' "$name" "$name"
}

everything() {
	printf '# Results\n\nWritten by all.sh.\n\n'
	go run . -rounds "$rounds" -seconds "$seconds"
	printf '\nThe limit is what Go and the system do without a protocol (raw): frames of a length and a body through a buffered writer of 256 KiB, read in place,\n'
	printf 'such a frame there and back, on one connection or, by one goroutine that asks epoll which of them has something, on as many as there are dealers, and in one process a Go channel.\n'

	section 'Size of messages' 'PUSH to PULL, the garbage collector as it is by default; its part of the time that the processors spent on either side is in the last columns. The steepest step of each curve is below its table: power 1 is a cost that doubles with what grows.'
	curve throughput throughput --size "$sizes"
	printf '\n'
	curve latency latency --size "${sizes%64KiB*}64KiB"

	section 'Number of peers' "Messages of 16 B: one PUSH to many PULLs (workers), one PUB to many SUBs (fanout), many PUSHes to one PULL (fanin), many DEALERs to one
echoing ROUTER and back (router), all peers together.$note"
	curve peers workers fanout fanin router --size 16 --peers "$(upto "$peers" 1 10 100 1000)"

	section 'Number of subscriptions' 'A PUB and a SUB with so many subscriptions of 32 bytes, each message of one of them.'
	curve subscriptions topics --size 16 --subscriptions "$(upto "$subscriptions" 1 10 100 1000 10000 100000)"
	printf '\nThe same without sockets, on one processor: a message (Match, in the order of subscriptions; MatchShuffled, in any), a subscription taken back and made (Subscribe), new ones (SubscribeNew).\n\n```\n'
	(cd .. && go test -run '^$' -bench '^Benchmark(Match|MatchShuffled|Subscribe|SubscribeNew)$/^100000$' -benchtime "$benchtime" -count "$rounds" ./socket/internal/route) | grep ^Benchmark
	printf '```\n'

	section 'Frames of a message' 'Each of 16 B.'
	curve frames throughput --size 16 --frames 1,2,4,8,16,32,64

	section 'One subscriber that stops reading' 'A PUB that drops what subscribers cannot take, and 200 of them, or so many of which one does not read: messages of 1 KiB that one of the others gets.'
	measure dropping stalled --size 1KiB --peers "$([ "$peers" -lt 200 ] && echo "$peers" || echo 200)"

	section 'Nothing lost' 'Messages of 100 B that are on disk before Send returns, or the window says so, delivered over tcp to another process and acknowledged by it; next to a bare file, which is what the disk does at best,
and to NATS JetStream with SyncAlways, whose messages are stored and not delivered. Then what is on disk already, and acknowledgements alone. What the project wants of it is below, and last what a replay costs who listens live: messages of a millisecond are due together, each is timed from then on, and publisher and subscribers are processes of their own.'
	go run ./durable -rounds "$rounds" -seconds "$seconds" -backlog "$backlog"

	section 'Idle peers' "A ROUTER with so many DEALERs that say nothing: memory for each, and how long a message takes to any of them and back.$note"
	measure idle --size 16 --peers "$(upto "$peers" 1000)"

	section 'Typed patterns beside what else there is' "Calls (reqrep) with a value of so many bytes, which comes back, by so many callers that share a client; events (pubsub), each to all subscribers, and jobs (pushpull), each to one worker: none is dropped,
and those are counted that were handled. Each side is a process of its own, as is NATS's server. meshmq, NATS and gRPC have the values in msgpack by this project's codec, net/http has JSON, net/rpc gob."
	go run ./patterns -rounds "$rounds" -seconds "$seconds"
}

everything | tee "$work/RESULTS.md"
mv "$work"/*.md "$work"/*.svg "$out"
echo "written to $out" >&2
