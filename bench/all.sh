#!/usr/bin/env bash
# Measures everything and writes what came of it: bench/RESULTS.md, the table with machine, versions and date, and bench/throughput.svg
# and bench/latency.svg, the curves over message size.
#
#   bench/all.sh [ROUNDS]      default: 5 rounds of a second, about 15 minutes on a machine that does nothing else
#
# Needs what doc.go says.
set -euo pipefail
cd "$(dirname "$0")"
rounds=${1:-5}
sizes=16,64,256,1KiB,4KiB,16KiB,64KiB,256KiB,1MiB
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd .. && go build -o "$work/meshmq" ./cmd/meshmq)
go run . -rounds "$rounds" | tee "$work/table"
"$work/meshmq" bench throughput --rounds "$rounds" --size "$sizes" --plot "$work/throughput.svg" >"$work/throughput"
"$work/meshmq" bench latency --rounds "$rounds" --size "${sizes%,*,*}" --plot "$work/latency.svg" >"$work/latency"
{
	printf '# Results\n\nWritten by all.sh.\n\n'
	cat "$work/table"
	printf '\n![Messages a second by size](throughput.svg)\n\n![Latency by size](latency.svg)\n'
} >RESULTS.md
mv "$work/throughput.svg" "$work/latency.svg" .
