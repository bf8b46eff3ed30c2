package transport

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
)

// inprocBacklog is how many connections may wait for Accept. Beyond it Dial fails, as it does for ipc: a listener
// that does not accept must not gather memory.
const inprocBacklog = 1024

// inprocNames holds the listeners of the process by their names.
var inprocNames = struct {
	mu      sync.Mutex // guards the fields below
	bound   map[string]*inprocListener
	awaited map[string]*inprocWait // names that are dialled but not bound
}{bound: map[string]*inprocListener{}, awaited: map[string]*inprocWait{}}

// inprocWait is where the dialers of one name wait for it. Each name has its own: binding one wakes no other's.
type inprocWait struct {
	bound   chan struct{} // closed when the name is bound
	dialers int
}

type inprocListener struct {
	endpoint string
	name     string
	backlog  chan *pipeConn

	mu     sync.Mutex // guards closed, and backlog against being closed during a send
	closed bool
}

func listenInproc(e Endpoint) (Listener, error) {
	l := &inprocListener{endpoint: e.String(), name: e.name, backlog: make(chan *pipeConn, inprocBacklog)}
	inprocNames.mu.Lock()
	defer inprocNames.mu.Unlock()
	if inprocNames.bound[e.name] != nil {
		return nil, syscall.EADDRINUSE
	}
	inprocNames.bound[e.name] = l
	if wait := inprocNames.awaited[e.name]; wait != nil {
		close(wait.bound)
		delete(inprocNames.awaited, e.name)
	}
	return l, nil
}

func (l *inprocListener) Accept() (net.Conn, error) {
	conn, ok := <-l.backlog
	if !ok {
		return nil, fmt.Errorf("accept %s: %w", l.endpoint, net.ErrClosed)
	}
	return conn, nil
}

func (l *inprocListener) Endpoint() string { return l.endpoint }

// Close also closes the connections that wait in the backlog, as the kernel does for tcp.
func (l *inprocListener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	close(l.backlog)
	for conn := range l.backlog {
		conn.Close()
	}
	inprocNames.mu.Lock()
	defer inprocNames.mu.Unlock()
	delete(inprocNames.bound, l.name)
	return nil
}

// offer puts conn in the backlog. It reports false if the listener is closed.
func (l *inprocListener) offer(conn *pipeConn) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false, nil
	}
	select {
	case l.backlog <- conn:
		return true, nil
	default:
		return true, syscall.EAGAIN
	}
}

func dialInproc(ctx context.Context, e Endpoint) (net.Conn, error) {
	for {
		l, err := awaitInproc(ctx, e.name)
		if err != nil {
			return nil, err
		}
		near, far := newPipe(e.name)
		if open, err := l.offer(far); err != nil {
			return nil, err
		} else if open {
			return near, nil
		}
	}
}

// awaitInproc returns the listener of name as soon as there is one.
func awaitInproc(ctx context.Context, name string) (*inprocListener, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l, wait := findInproc(name)
		if l != nil {
			return l, nil
		}
		select {
		case <-wait.bound:
		case <-ctx.Done():
			wait.leave(name)
		}
	}
}

// findInproc returns the listener of name or, counting the caller in, the place to wait for it.
func findInproc(name string) (*inprocListener, *inprocWait) {
	inprocNames.mu.Lock()
	defer inprocNames.mu.Unlock()
	if l := inprocNames.bound[name]; l != nil {
		return l, nil
	}
	wait := inprocNames.awaited[name]
	if wait == nil {
		wait = &inprocWait{bound: make(chan struct{})}
		inprocNames.awaited[name] = wait
	}
	wait.dialers++
	return nil, wait
}

// leave is for a dialer that waits no longer; the last one forgets the name.
func (w *inprocWait) leave(name string) {
	inprocNames.mu.Lock()
	defer inprocNames.mu.Unlock()
	if w.dialers--; w.dialers == 0 && inprocNames.awaited[name] == w {
		delete(inprocNames.awaited, name)
	}
}
