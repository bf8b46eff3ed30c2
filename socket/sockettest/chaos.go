package sockettest

import (
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
)

// Chaos is a TCP proxy in front of an endpoint that does to connections what networks do. Half of those that it ends it resets: what the other side has not read yet is lost then.
type Chaos struct {
	Endpoint string // connect here
	target   string

	mu    sync.Mutex // guards the fields below
	faces map[*face]struct{}
	next  [2]Fate // of connections to come
	once  bool    // of one connection to come
	made  int     // connections so far
	dice  *rand.Rand
	ended bool
	wg    sync.WaitGroup
}

// Fate is what becomes of one direction of a connection after some bytes.
type Fate struct {
	After int64 // bytes that pass
	Cut   bool  // then the connection ends, both ways; else what follows is swallowed
	Some  bool  // there is such a fate; else all passes
}

// face is one connection.
type face struct {
	in, out *net.TCPConn
	reset   bool // it ends by that
}

func (f *face) close() {
	if f.reset {
		_, _ = f.in.SetLinger(0), f.out.SetLinger(0) // either may have ended already
	}
	f.in.Close()
	f.out.Close()
}

// NewChaos returns a proxy to a tcp endpoint, which ends with the test.
func NewChaos(t TB, endpoint string) *Chaos {
	t.Helper()
	ln, front := Listen(t)
	c := &Chaos{Endpoint: front, target: strings.TrimPrefix(endpoint, "tcp://"), faces: map[*face]struct{}{}, dice: rand.New(rand.NewPCG(1, 1))}
	c.wg.Add(1)
	go func() { // ends when the listener is closed, which the test's end waits for
		defer c.wg.Done()
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			c.serve(in.(*net.TCPConn))
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		c.mu.Lock()
		c.ended = true
		c.mu.Unlock()
		c.Cut()
		c.wg.Wait()
	})
	return c
}

// Next sets what becomes of connections that are made from now on: of what goes to the target, and of what comes from it.
func (c *Chaos) Next(to, from Fate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next, c.once = [2]Fate{to, from}, false
}

// Once is Next for one connection. Those after it have no such fate.
func (c *Chaos) Once(to, from Fate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next, c.once = [2]Fate{to, from}, true
}

// Cut ends all connections that are there.
func (c *Chaos) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for f := range c.faces {
		f.close()
	}
}

// Made returns how many connections there have been.
func (c *Chaos) Made() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.made
}

func (c *Chaos) serve(in *net.TCPConn) {
	conn, err := net.Dial("tcp", c.target)
	if err != nil {
		in.Close()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	out := conn.(*net.TCPConn)
	f := &face{in, out, c.dice.IntN(2) == 0}
	if c.ended {
		f.close()
		return
	}
	c.faces[f] = struct{}{}
	c.made++
	c.wg.Add(2)
	go c.pass(f, out, in, c.next[0])
	go c.pass(f, in, out, c.next[1])
	if c.once {
		c.next, c.once = [2]Fate{}, false
	}
}

// pass copies one direction until its fate strikes, or the connection ends.
func (c *Chaos) pass(f *face, dst, src net.Conn, fate Fate) {
	defer c.wg.Done()
	if fate.Some {
		_, _ = io.CopyN(dst, src, fate.After)
		if !fate.Cut {
			_, _ = io.Copy(io.Discard, src)
		}
	} else {
		_, _ = io.Copy(dst, src)
	}
	c.mu.Lock()
	f.close()
	delete(c.faces, f)
	c.mu.Unlock()
}
