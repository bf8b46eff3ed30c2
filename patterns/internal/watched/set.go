// Package watched keeps what a program has others look at, by name: sockets, what embeds them, and logs. Packages metrics and monitor
// read it when they are asked; what is watched knows nothing of it.
package watched

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// Socket is any socket, and whatever embeds one.
type Socket interface{ Stats() socket.Stats }

// Log is a *spool.Log, or a *spool.Window.
type Log interface{ Stats() spool.Stats }

// What a Socket may have besides.
type (
	typed    interface{ Type() string }
	receiver interface{ Counts() patterns.Counts } // a Worker, Service, Subscriber or Client
	delayer  interface{ Delays() patterns.Delays } // a Producer
)

// Set is what is watched. The zero Set is empty and ready for use, by any number of goroutines.
type Set struct {
	mu      sync.Mutex // guards the fields below
	sockets map[string]Socket
	logs    map[string]Log
}

// SocketReading is what a Socket said.
type SocketReading struct {
	Name   string
	Type   string // such as PULL; empty if it does not say
	Stats  socket.Stats
	Counts *patterns.Counts // of receivers, else nil
	Delays *patterns.Delays // of Producers, else nil
}

// LogReading is what a Log said.
type LogReading struct {
	Name  string
	Stats spool.Stats
}

// Watch adds a socket under a name of its own.
func (s *Set) Watch(name string, w Socket) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := add(&s.sockets, name, w, w == nil); err != nil {
		return fmt.Errorf("watch socket %q: %w", name, err)
	}
	return nil
}

// WatchSpool adds a log under a name of its own among logs.
func (s *Set) WatchSpool(name string, l Log) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := add(&s.logs, name, l, l == nil); err != nil {
		return fmt.Errorf("watch spool %q: %w", name, err)
	}
	return nil
}

func add[T any](to *map[string]T, name string, v T, missing bool) error {
	_, taken := (*to)[name]
	switch {
	case missing:
		return errors.New("there is nothing to watch, want other than nil")
	case taken:
		return errors.New("the name is taken, want another")
	case !utf8.ValidString(name):
		return errors.New("the name is a label, want UTF-8")
	}
	if *to == nil {
		*to = make(map[string]T)
	}
	(*to)[name] = v
	return nil
}

// Forget takes out the socket and the log of that name.
func (s *Set) Forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sockets, name)
	delete(s.logs, name)
}

// Read asks all that is watched, each in the order of names. Where a Producer delays messages on disk, that is a log by its name and "/delayed", unless there is another
// of that name.
func (s *Set) Read() (sockets []SocketReading, logs []LogReading) {
	s.mu.Lock()
	allSockets, allLogs := maps.Clone(s.sockets), maps.Clone(s.logs)
	s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(allSockets)) {
		r := read(name, allSockets[name])
		sockets = append(sockets, r)
		if at := name + "/delayed"; r.Delays != nil && r.Delays.Spool != nil && allLogs[at] == nil {
			logs = append(logs, LogReading{at, *r.Delays.Spool})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(allLogs)) {
		logs = append(logs, LogReading{name, allLogs[name].Stats()})
	}
	return sockets, logs
}

func read(name string, w Socket) SocketReading {
	r := SocketReading{Name: name, Stats: w.Stats()}
	if t, ok := w.(typed); ok {
		r.Type = t.Type()
	}
	if c, ok := w.(receiver); ok {
		counts := c.Counts()
		r.Counts = &counts
	}
	if d, ok := w.(delayer); ok {
		delays := d.Delays()
		r.Delays = &delays
	}
	return r
}
