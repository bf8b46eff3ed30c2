// Command durable measures what it costs that nothing is lost: messages that are on disk before Send returns, delivered over tcp to a PULL in another process
// and acknowledged by it, next to what the disk could do at best and next to NATS JetStream with SyncAlways, all in turns in one run; and
// acknowledgements alone, next to a link without.
//
//	go run ./durable [-dir DIR] [-rounds N] [-seconds S] [-size BYTES] [-backlog N]
//
// DIR must be on the disk to be measured: temporary directories may be memory. Figures are medians of the rounds. The bare file is written as
// a spool is: records with a header and a CRC-32C, so many for each fdatasync, in a file that is allocated ahead. JetStream is fed by its client, with
// the server in a process of its own; its messages are stored only, not delivered.
package main

import (
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
)

// run is what all measurements are told.
type run struct {
	dir     string
	size    int
	d       time.Duration
	backlog int
}

// what is measured. Each returns messages a second.
var what = []struct {
	name  string
	rate  func(r run) float64
	limit int // of which entry it is a part: the bare file, or a link that promises less
}{
	{"bare file, 256 messages a sync", func(r run) float64 { return bare(r, 256) }, -1},
	{"spool to acknowledged, 256 senders", func(r run) float64 { return spooled(r, senders(256)) }, 0},
	{"spool to acknowledged, async, 4096 on their way", func(r run) float64 { return spooled(r, window(4096)) }, 0},
	{"JetStream, 256 senders", func(r run) float64 { return stream(r, 256, 0) }, 0},
	{"JetStream, async, 4096 on their way", func(r run) float64 { return stream(r, 1, 4096) }, 0},
	{"bare file, 1 message a sync", func(r run) float64 { return bare(r, 1) }, -1},
	{"spool to acknowledged, 1 sender", func(r run) float64 { return spooled(r, senders(1)) }, 5},
	{"JetStream, 1 sender", func(r run) float64 { return stream(r, 1, 0) }, 5},
	{"replay from disk to acknowledged", replay, -1},
	{"link without a spool, not acknowledged", linked(false), -1},
	{"link without a spool, acknowledged", linked(true), 9},
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("durable: ")
	if len(os.Args) == 3 && os.Args[1] == "pull" {
		pull(os.Args[2])
		return
	}
	if len(os.Args) == 3 && os.Args[1] == "jetstream" {
		serve(os.Args[2])
		return
	}
	var r run
	parent := flag.String("dir", ".", "directory on the disk to be measured")
	rounds := flag.Int("rounds", 5, "measure everything this often, in turns")
	seconds := flag.Float64("seconds", 2, "length of each measurement")
	flag.IntVar(&r.size, "size", 100, "bytes of a message")
	flag.IntVar(&r.backlog, "backlog", 3_000_000, "messages to be replayed")
	only := flag.String("only", "", "measure what has this in its name, and what is a limit")
	flag.Parse()
	r.d = time.Duration(*seconds * float64(time.Second))
	rates := make([][]float64, len(what))
	for round := range *rounds {
		for i, w := range what {
			if *only != "" && w.limit >= 0 && !strings.Contains(w.name, *only) {
				continue
			}
			log.Printf("%d/%d: %s", round+1, *rounds, w.name)
			rates[i] = append(rates[i], once(*parent, r, w.rate))
		}
	}
	report(r, *rounds, rates)
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

func report(r run, rounds int, rates [][]float64) {
	fmt.Printf("%s, %s/%s, %d cores, %d bytes, %d rounds of %v, medians\n\n", time.Now().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH,
		runtime.NumCPU(), r.size, rounds, r.d)
	fmt.Println("| what | messages a second | of its limit |\n|---|--:|--:|")
	for i, w := range what {
		if len(rates[i]) == 0 {
			continue
		}
		part := ""
		if w.limit >= 0 {
			part = fmt.Sprintf("%.3f", median(rates[i])/median(rates[w.limit]))
		}
		fmt.Printf("| %s | %.0f | %s |\n", w.name, median(rates[i]), part)
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
