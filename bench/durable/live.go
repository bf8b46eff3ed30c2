package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// liveName is what this is found by.
const liveName = "live beside a replay"

// A message begins with its topic; a live one goes on with the time it was due, in nanoseconds, and its turn.
const (
	topicLive = "L"
	topicOld  = "O"
)

// Names of durable subscriptions.
const (
	nameLive   = "live"
	nameReplay = "replay"
)

// loads are how many live messages a second are sent: as many as the durable subscriber takes, half of what it took without a replay, and so many.
var loads = []struct {
	name string
	rate float64
}{{"all that come", math.Inf(1)}, {"half of all", 0}, {"20 k a second", 20_000}, {"200 k a second", 200_000}}

// turn is one measurement: of one load, alone or beside a replay.
type turn struct {
	rate     float64 // that was to be sent
	replayed float64 // a second
	seen     [2]view // by the subscribers
}

// watchers are the live subscribers.
var watchers = [2]string{"plain", "durable"}

// subscribers are what runs in processes of their own.
var subscribers = map[string]func(endpoint string){
	"plain":   watch(),
	"durable": watch(socket.WithDurable(nameLive, spool.End())),
	"reread":  reread,
}

// view is what a live subscriber has seen of a turn: messages a second, and how late they were.
type view struct{ rate, p50, p99, p999 float64 }

// live measures what live messages are to a plain and a durable subscriber, alone and beside a replay by another, in turns. The publisher and each subscriber are
// processes of their own. It is an open loop: those of a millisecond are due together, and each is timed from then on.
func live(r run, rounds int) (turns [][][2]turn) {
	s := newStage(r)
	defer s.pub.Close()
	capacity := 0.0
	turns = make([][][2]turn, rounds)
	for round := range rounds {
		for _, l := range loads {
			rate := l.rate
			if rate == 0 {
				rate = capacity / 2
			}
			log.Printf("%d/%d: %s, %s", round+1, rounds, liveName, l.name)
			pair := [2]turn{s.turn(rate, false), s.turn(rate, true)}
			if math.IsInf(l.rate, 1) {
				capacity = pair[0].rate
			}
			turns[round] = append(turns[round], pair)
		}
	}
	for i, end := range s.ends {
		views := end()
		for n := range s.turns {
			turns[n/2/len(loads)][n/2%len(loads)][n%2].seen[i] = views[n]
		}
	}
	return turns
}

// stage is a publisher with a backlog and two live subscribers.
type stage struct {
	run
	pub      *socket.Pub
	endpoint string
	ends     []func() map[int]view // of the subscribers
	turns    int                   // so far
}

func newStage(r run) *stage {
	s := &stage{run: r, pub: socket.NewPub(inSpool(r), socket.WithLinger(0))}
	var err error
	s.endpoint, err = s.pub.Bind("tcp://127.0.0.1:0")
	check(err)
	old := make([]byte, r.size)
	copy(old, topicOld)
	for range r.backlog {
		_, err := s.pub.Enqueue(background, old)
		check(err)
	}
	check(s.pub.Flush(background))
	for _, kind := range watchers {
		s.ends = append(s.ends, startWatcher(kind, s.endpoint))
	}
	for len(s.pub.Peers()) < len(watchers) || len(s.pub.Durables()) == 0 || s.pub.Durables()[0].Members == 0 {
		time.Sleep(time.Millisecond)
	}
	check(s.pub.WaitSubscribers(background, topicLive, 1))
	return s
}

// turn sends for as long as a measurement lasts.
func (s *stage) turn(rate float64, beside bool) (t turn) {
	end := func() {}
	if beside {
		end = child("reread", s.endpoint)
		for s.acked(nameReplay) == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	begun, before := time.Now(), s.acked(nameReplay)
	if t.rate = rate; math.IsInf(rate, 1) {
		t.rate = s.sendAll()
	} else {
		s.send(rate)
	}
	t.replayed = float64(s.acked(nameReplay)-before) / time.Since(begun).Seconds()
	end()
	for _, d := range s.pub.Durables() {
		for d.Name != nameLive && errors.Is(s.pub.RemoveDurable(d.Name), socket.ErrState) { // its member is about to go
			time.Sleep(time.Millisecond)
		}
	}
	check(s.pub.WaitAcked(background))
	s.turns++
	return t
}

// acked returns how many messages durable subscribers have acknowledged that have such names.
func (s *stage) acked(prefix string) (n uint64) {
	for _, d := range s.pub.Durables() {
		if strings.HasPrefix(d.Name, prefix) {
			n += d.Acked
		}
	}
	return n
}

// enqueue sends a message that was due at a time.
func (s *stage) enqueue(body []byte, due time.Time) {
	copy(body, topicLive)
	binary.LittleEndian.PutUint64(body[1:], uint64(due.UnixNano()))
	binary.LittleEndian.PutUint32(body[9:], uint32(s.turns))
	_, err := s.pub.Enqueue(background, body)
	check(err)
}

// send sends so many a second.
func (s *stage) send(rate float64) {
	body, sent, begun := make([]byte, s.size), 0, time.Now()
	for tick := time.Duration(0); tick < s.d; {
		due := begun.Add(tick)
		for left := time.Until(due); left > 0; left = time.Until(due) {
			nap := unix.NsecToTimespec(int64(left)) // the runtime's timers are late by up to a millisecond
			_ = unix.Nanosleep(&nap, nil)
		}
		for tick += time.Millisecond; float64(sent) < rate*tick.Seconds(); sent++ {
			s.enqueue(body, due)
		}
	}
}

// sendAll sends while the live durable subscriber is not far behind, and returns how many a second it got.
func (s *stage) sendAll() float64 {
	const window, batch = 100_000, 1000
	var stopped atomic.Bool
	var sending sync.WaitGroup
	before := s.acked(nameLive)
	sending.Go(func() {
		body := make([]byte, s.size)
		for sent := before; !stopped.Load(); {
			if sent > s.acked(nameLive)+window {
				time.Sleep(100 * time.Microsecond)
				continue
			}
			for range batch {
				s.enqueue(body, time.Now())
			}
			sent += batch
		}
	})
	begun := time.Now()
	time.Sleep(s.d)
	rate := float64(s.acked(nameLive)-before) / time.Since(begun).Seconds()
	stopped.Store(true)
	sending.Wait()
	return rate
}

// startWatcher starts a live subscriber; end returns what it has seen of each turn.
func startWatcher(kind, endpoint string) (end func() map[int]view) {
	self, err := os.Executable()
	check(err)
	c := exec.Command(self, kind, endpoint)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	check(err)
	out, err := c.StdoutPipe()
	check(err)
	check(c.Start())
	return func() map[int]view {
		check(in.Close())
		all := map[int]view{}
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var turn int
			var v view
			_, err := fmt.Sscan(lines.Text(), &turn, &v.rate, &v.p50, &v.p99, &v.p999)
			check(err)
			all[turn] = v
		}
		check(c.Wait())
		return all
	}
}

// watched is what a live subscriber notes of a turn.
type watched struct {
	late        *hdrhistogram.Histogram
	first, last int64
}

// watch is a live subscriber until its input ends.
func watch(opts ...socket.Option) func(endpoint string) {
	return func(endpoint string) {
		s := socket.NewSub(opts...)
		check(s.Subscribe(topicLive))
		check(s.Connect(endpoint))
		turns := map[uint32]*watched{}
		var watching sync.WaitGroup
		watching.Go(func() {
			for {
				m, err := s.Recv(background)
				if err != nil {
					return
				}
				note(turns, m.Frames[0])
				m.Release()
			}
		})
		_, _ = io.Copy(io.Discard, os.Stdin)
		check(s.Close())
		watching.Wait()
		for turn, w := range turns {
			at := func(percent float64) float64 { return float64(w.late.ValueAtQuantile(percent)) / 1e6 }
			fmt.Println(turn, float64(w.late.TotalCount())/float64(w.last-w.first)*1e9, at(50), at(99), at(99.9))
		}
	}
}

func note(turns map[uint32]*watched, body []byte) {
	due, turn, now := int64(binary.LittleEndian.Uint64(body[1:])), binary.LittleEndian.Uint32(body[9:]), time.Now().UnixNano()
	w := turns[turn]
	if w == nil {
		w = &watched{late: hdrhistogram.New(1, int64(time.Minute), 3), first: now}
		turns[turn] = w
	}
	w.last = now
	_ = w.late.RecordValue(now - due)
}

// reread replays the log, under one new name after the other, until its input ends.
func reread(endpoint string) {
	go func() {
		for i := 0; ; i++ {
			s := socket.NewSub(socket.WithDurable(fmt.Sprint(nameReplay, i), spool.Beginning()))
			check(s.Subscribe(""))
			check(s.Connect(endpoint))
			for {
				m, err := s.Recv(background)
				check(err)
				if string(m.Frames[0][:1]) == topicLive { // it has seen all that is old
					break
				}
				m.Release()
			}
			check(s.Close())
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
}
