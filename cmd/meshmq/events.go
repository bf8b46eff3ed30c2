package main

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/meshmq/meshmq/socket"
)

// events tells people on standard error what happens to a socket: what it listens on, and each trouble
// once, not at every retry. It also remembers whether there ever was a peer.
type events struct {
	w              io.Writer
	side           string // what the lines begin with, where a verb has several sockets
	verbose, quiet bool
	warnPlain      bool // tell of peers that do not acknowledge
	refusals       refusals

	mu        sync.Mutex // guards the fields below
	connected bool
	trouble   map[string]string // by endpoint: what was last said of it
	last      string            // the latest trouble with getting a peer
}

func (ev *events) handle(e socket.Event) {
	ev.refusals.note(e)
	ev.mu.Lock()
	line := ev.lineLocked(e)
	ev.mu.Unlock()
	if line != "" && !ev.quiet {
		fmt.Fprintln(ev.w, ev.side+line)
	}
}

// lineLocked returns what is to be said of e, if anything.
func (ev *events) lineLocked(e socket.Event) string {
	switch e.Kind {
	case socket.Connected:
		ev.connected = true
		delete(ev.trouble, e.Endpoint)
		if ev.warnPlain && !ev.verbose && e.Peer != nil {
			if _, out := e.Peer.Acknowledged(); !out {
				return fmt.Sprintf("peer %s does not acknowledge: what it is sent is done with when it is written", e.Peer.Address())
			}
		}
	case socket.Retrying:
		if e.Err != nil && !ev.verbose {
			return ev.troubleLocked(e.Endpoint, fmt.Sprintf("connect %s: %s, retrying", e.Endpoint, reason(e)))
		}
	case socket.HandshakeFailed, socket.AcceptFailed:
		if !ev.verbose {
			return ev.troubleLocked(e.Endpoint, fmt.Sprintf("%s %s: %s", e.Kind, e.Endpoint, reason(e)))
		}
	case socket.Listening, socket.Dropped, socket.DeadLettered, socket.SpoolTrouble, socket.WindowTrouble, socket.Missed:
		return oneLine(e.String())
	}
	if ev.verbose {
		return oneLine(e.String())
	}
	return ""
}

// troubleLocked returns line unless it was the last said of the endpoint.
func (ev *events) troubleLocked(endpoint, line string) string {
	line = oneLine(line)
	ev.last = line
	if ev.trouble[endpoint] == line {
		return ""
	}
	if ev.trouble == nil {
		ev.trouble = make(map[string]string)
	}
	ev.trouble[endpoint] = line
	return line
}

// peerSeen says whether a peer was ever connected, and why not if that is known.
func (ev *events) peerSeen() (bool, string) {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	return ev.connected, ev.last
}

// reason returns the cause of e without a repetition of the endpoint, which the line names already.
func reason(e socket.Event) string {
	if e.Err == nil {
		return "connection lost"
	}
	s := e.Err.Error()
	for _, op := range []string{"connect ", "dial ", "handshake ", "accept "} {
		s = strings.TrimPrefix(s, op+e.Endpoint+": ")
	}
	return s
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
