// Command durable measures what it costs that nothing is lost: messages that are on disk before Send returns, delivered over tcp to a PULL in another process
// and acknowledged by it, next to what the disk could do at best and next to NATS JetStream with SyncAlways, all in turns in one run; what is on disk already, to a PULL and
// to a durable SUB; acknowledgements alone, next to a link without; and what live messages are to others beside such a replay: rate and delay, of an open loop. It says which of
// the project's targets are met.
//
//	go run ./durable [-dir DIR] [-rounds N] [-seconds S] [-size BYTES] [-backlog N] [-only NAME]
//
// DIR must be on the disk to be measured: temporary directories may be memory. bench/all.sh runs it, too. Figures are medians of the rounds. The bare file is written as
// a spool is: records with a header and a CRC-32C, so many for each fdatasync, in a file that is allocated ahead. JetStream is fed by its client, with
// the server in a process of its own; its messages are stored only, not delivered.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// run is what all measurements are told.
type run struct {
	dir     string
	size    int
	d       time.Duration
	backlog int
}

const (
	bareMany    = "bare file, 256 messages a sync"
	spoolMany   = "spool to acknowledged, 256 senders"
	spoolAsync  = "spool to acknowledged, async, 4096 on their way"
	streamMany  = "JetStream, 256 senders"
	streamAsync = "JetStream, async, 4096 on their way"
	bareOne     = "bare file, 1 message a sync"
	spoolOne    = "spool to acknowledged, 1 sender"
	replayPull  = "replay from disk to acknowledged, PUSH to PULL"
	replaySub   = "replay from disk to acknowledged, PUB to durable SUB"
	plainPull   = "PUSH to PULL without a spool, not acknowledged"
	ackedPull   = "PUSH to PULL without a spool, acknowledged"
	plainRouter = "DEALER to ROUTER without a spool, not acknowledged"
	ackedRouter = "DEALER to ROUTER without a spool, acknowledged"
)

// what is measured. Each returns messages a second.
var what = []struct {
	name  string
	rate  func(r run) float64
	limit string // of which entry it is a part: the bare file, or a link that promises less
}{
	{bareMany, func(r run) float64 { return bare(r, 256) }, ""},
	{spoolMany, func(r run) float64 { return spooled(r, senders(256)) }, bareMany},
	{spoolAsync, func(r run) float64 { return spooled(r, window(4096)) }, bareMany},
	{streamMany, func(r run) float64 { return stream(r, 256, 0) }, bareMany},
	{streamAsync, func(r run) float64 { return stream(r, 1, 4096) }, bareMany},
	{bareOne, func(r run) float64 { return bare(r, 1) }, ""},
	{spoolOne, func(r run) float64 { return spooled(r, senders(1)) }, bareOne},
	{"JetStream, 1 sender", func(r run) float64 { return stream(r, 1, 0) }, bareOne},
	{replayPull, replay, ""},
	{replaySub, replayLog, ""},
	{plainPull, linked(newPush, "pull", false), ""},
	{ackedPull, linked(newPush, "pull", true), plainPull},
	{plainRouter, linked(newDealer, "router", false), ""},
	{ackedRouter, linked(newDealer, "router", true), plainRouter},
}

// targets are what the project wants of it, in messages of 100 B.
var targets = []struct {
	what  []string // one of them is enough
	least float64
	of    string // this one; "": messages a second
}{
	{[]string{spoolMany, spoolAsync}, 0.5, bareMany},
	{[]string{spoolMany}, 50, streamMany},
	{[]string{spoolAsync}, 50, streamAsync},
	{[]string{spoolOne}, 0.9, bareOne},
	{[]string{replayPull}, 1e6, ""},
	{[]string{replaySub}, 1e6, ""},
	{[]string{ackedPull}, 0.8, plainPull},
	{[]string{ackedRouter}, 0.8, plainRouter},
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("durable: ")
	if len(os.Args) == 3 && os.Args[1] == "jetstream" {
		serve(os.Args[2])
		return
	}
	if len(os.Args) == 3 && subscribers[os.Args[1]] != nil {
		subscribers[os.Args[1]](os.Args[2])
		return
	}
	if len(os.Args) == 3 && receivers[os.Args[1]] != nil {
		receive(receivers[os.Args[1]](), os.Args[2])
		return
	}
	var r run
	parent := flag.String("dir", ".", "directory on the disk to be measured")
	rounds := flag.Int("rounds", 5, "measure everything this often, in turns")
	seconds := flag.Float64("seconds", 2, "length of each measurement")
	flag.IntVar(&r.size, "size", 100, "bytes of a message")
	flag.IntVar(&r.backlog, "backlog", 3_000_000, "messages to be replayed")
	only := flag.String("only", "", "measure what has this in its name, and what that is a part of")
	flag.Parse()
	r.d = time.Duration(*seconds * float64(time.Second))
	chosen := map[string]bool{}
	for _, w := range what {
		if strings.Contains(w.name, *only) {
			chosen[w.name], chosen[w.limit] = true, true
		}
	}
	rates := map[string][]float64{}
	for round := range *rounds {
		for _, w := range what {
			if chosen[w.name] {
				log.Printf("%d/%d: %s", round+1, *rounds, w.name)
				rates[w.name] = append(rates[w.name], once(*parent, r, w.rate))
			}
		}
	}
	var turns [][][2]turn
	if strings.Contains(liveName, *only) {
		once(*parent, r, func(r run) float64 { turns = live(r, *rounds); return 0 })
	}
	fmt.Printf("%s, %s/%s, %d cores, %s, nats-server %s, %d bytes, %d rounds of %v, medians\n\n", time.Now().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH,
		runtime.NumCPU(), runtime.Version(), server.VERSION, r.size, *rounds, r.d)
	medians := map[string]float64{}
	for name, all := range rates {
		medians[name] = median(all)
	}
	if len(medians) > 0 {
		report(medians)
		judge(medians)
	}
	if turns != nil {
		reportLive(turns)
	}
}

// once measures in a directory of its own.
func once(parent string, r run, rate func(run) float64) float64 {
	dir, err := os.MkdirTemp(parent, "durable")
	check(err)
	defer os.RemoveAll(dir)
	r.dir, err = filepath.Abs(dir)
	check(err)
	return rate(r)
}

// report prints what was measured.
func report(medians map[string]float64) {
	fmt.Println("| what | messages a second | of its limit |\n|---|--:|--:|")
	for _, w := range what {
		if medians[w.name] == 0 {
			continue
		}
		part := ""
		if w.limit != "" {
			part = fmt.Sprintf("%.3f", medians[w.name]/medians[w.limit])
		}
		fmt.Printf("| %s | %.0f | %s |\n", w.name, medians[w.name], part)
	}
}

// judge prints which targets are met.
func judge(medians map[string]float64) {
	fmt.Println("\n| what | at least | measured | |\n|---|---|--:|---|")
	for _, t := range targets {
		verdict, format, least := "not met", "%.0f", fmt.Sprintf("%.0f messages a second", t.least)
		if t.of != "" {
			format, least = "%.3f", fmt.Sprintf("%g of %s", t.least, t.of)
		}
		var measured []string
		for _, name := range t.what {
			if medians[name] == 0 || t.of != "" && medians[t.of] == 0 {
				continue // left out
			}
			got := medians[name] / cmp.Or(medians[t.of], 1)
			if got >= t.least {
				verdict = "met"
			}
			measured = append(measured, fmt.Sprintf(format, got))
		}
		if len(measured) > 0 {
			fmt.Printf("| %s | %s | %s | %s |\n", strings.Join(t.what, "; or "), least, strings.Join(measured, "; "), verdict)
		}
	}
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// child starts another process of this program, which lives until its input ends.
func child(args ...string) (end func()) {
	self, err := os.Executable()
	check(err)
	c := exec.Command(self, args...)
	c.Stderr, c.Stdout = os.Stderr, os.Stderr
	in, err := c.StdinPipe()
	check(err)
	check(c.Start())
	return func() {
		check(in.Close())
		_ = c.Process.Kill()
		_ = c.Wait()
	}
}

// count measures how a number grows: it is read after a tenth of d, when everything is warm, and after d.
func count(d time.Duration, read func() uint64) float64 {
	for read() == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(d / 10)
	begun, before := time.Now(), read()
	time.Sleep(d)
	return float64(read()-before) / time.Since(begun).Seconds()
}

var background = context.Background()
