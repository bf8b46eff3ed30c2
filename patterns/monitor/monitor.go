package monitor

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/watched"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

const (
	// Service is the name under which monitors are announced, so that whoever looks finds all of them: mdns://meshmq-monitor.
	Service = "meshmq-monitor"
	// Method is the method that answers with a Snapshot. What it is asked with does not matter.
	Method = "meshmq.snapshot"
)

const (
	// freshFor is how old a Snapshot may be that is told: people see no difference, and no number of askers makes more work.
	freshFor = 100 * time.Millisecond
	// maxRequest is room for an envelope with headers.
	maxRequest = 64 << 10
	// maxUnread is how much waits for one who asks and does not read.
	maxUnread = 8 << 20
	// maxWaiting is more than look at a time.
	maxWaiting = 256
)

// eventful is what tells of losses as they happen.
type eventful interface {
	Events(ctx context.Context) iter.Seq[socket.Event]
}

// Monitor tells whoever asks about the sockets and logs of its process. It embeds the service that answers: Bind it where those who look come, or Connect it
// to them, and Run it. It is safe for use by any number of goroutines. End it with Shutdown or Close.
type Monitor struct {
	*reqrep.Service
	process Process // what of it stays the same
	watched watched.Set
	trouble ring

	answering sync.Mutex // held to make an answer; guards the fields below
	told      Snapshot
	asked     time.Time // when told was made

	mu      sync.Mutex // guards the fields below
	follows map[string]context.CancelFunc
	closed  bool
	running sync.WaitGroup // who follow events
}

// New returns a Monitor of nothing yet. The name is for people, up to codec.MaxName bytes: what the process does. Options are those of reqrep.NewService; those that say who may ask
// come by patterns.WithSocketOptions. One that is wrong is an error of Run. Requests may have 64 KiB, answers to who does not read them wait up to 8 MiB.
func New(name string, opts ...patterns.Option) *Monitor {
	process := thisProcess(name)
	defaults := []patterns.Option{
		patterns.WithSource(name), patterns.WithConcurrency(1), reqrep.WithVersion(clip(process.Version)), reqrep.WithWaiting(maxWaiting),
		patterns.WithSocketOptions(socket.WithMaxMessageSize(maxRequest), socket.WithSendHWMBytes(maxUnread)),
	}
	m := &Monitor{
		Service: reqrep.NewService(append(defaults, opts...)...),
		process: process, follows: make(map[string]context.CancelFunc),
	}
	if err := reqrep.Handle(m.Service, Method, m.answer); err != nil {
		panic(err) // the name is ours, and nobody else's
	}
	return m
}

// Watch adds a socket, or what embeds one, under a name of its own: with it its peers and its spool, and if it has Counts() patterns.Counts or Delays()
// patterns.Delays those. What goes wrong with it is noted from now on. A name that is taken, or is not UTF-8, is an error.
func (m *Monitor) Watch(name string, s interface{ Stats() socket.Stats }) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return fmt.Errorf("watch socket %q: %w", name, socket.ErrClosed)
	}
	if err := m.watched.Watch(name, s); err != nil {
		return err
	}
	e, ok := s.(eventful)
	if !ok {
		return nil
	}
	ctx, stop := context.WithCancel(context.Background())
	m.follows[name] = stop
	events := e.Events(ctx) // from here on, so that none is missed
	m.running.Go(func() {   // ended by stop, awaited by end
		for event := range events {
			m.trouble.note(name, event)
		}
	})
	return nil
}

// WatchSpool adds a log that is used without a socket, a *spool.Log or a *spool.Window, under a name of its own among those, as with Watch.
func (m *Monitor) WatchSpool(name string, l interface{ Stats() spool.Stats }) error {
	return m.watched.WatchSpool(name, l)
}

// Forget ends what Watch and WatchSpool began, so that the name may be used again. Sockets that were closed keep their last counts until then.
func (m *Monitor) Forget(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if stop := m.follows[name]; stop != nil {
		stop()
		delete(m.follows, name)
	}
	m.watched.Forget(name)
}

// Shutdown ends the Monitor in order, as that of reqrep.Service.
func (m *Monitor) Shutdown(ctx context.Context) error {
	defer m.end()
	return m.Service.Shutdown(ctx)
}

// Close ends the Monitor now. What it watched stays as it is.
func (m *Monitor) Close() error {
	defer m.end()
	return m.Service.Close()
}

// end stops following events.
func (m *Monitor) end() {
	m.mu.Lock()
	m.closed = true
	for _, stop := range m.follows {
		stop()
	}
	clear(m.follows)
	m.mu.Unlock()
	m.running.Wait()
}

// answer is the method.
func (m *Monitor) answer(context.Context, struct{}) (Snapshot, error) {
	m.answering.Lock()
	defer m.answering.Unlock()
	if now := time.Now(); now.Sub(m.asked) >= freshFor {
		m.told, m.asked = m.Snapshot(), now
	}
	return m.told, nil
}

// Get asks one monitor that c is connected to for its Snapshot, which is at most a tenth of a second old. Ask all of them with
// reqrep.Scatter[struct{}, monitor.Snapshot](ctx, c, monitor.Method, struct{}{}). What it says is what a stranger says: texts have no control characters if the monitor is honest.
func Get(ctx context.Context, c *reqrep.Client) (Snapshot, error) {
	return reqrep.Call[struct{}, Snapshot](ctx, c, Method, struct{}{})
}
