package socket

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/socket/internal/route"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// archive is what PUB and XPUB with WithSpool have beside their fan-out: the log of all that was published, and the durable subscriptions that are fed from
// it. Peers that have one are never part of the fan-out, so that what they are behind concerns nobody else. transport/zmtp/DURABLE.md has the rules.
type archive struct {
	in    intake
	c     *core
	out   *fanout
	names SpoolNames
	ctx   context.Context
	stop  context.CancelFunc // ends the couriers
	seed  maphash.Seed       // of digests: peers choose the topics
	found uint64             // the last message that was in the log when it was opened

	settlements settlements

	makeMu sync.Mutex // one subscription is made, removed or looked at, at a time; taken before mu

	mu       sync.Mutex // guards the fields below
	groups   map[string]*group
	closing  bool
	closeErr error
}

// group is a durable subscription that somebody has used since the socket was made.
type group struct {
	name    string
	from    SpoolConsumer
	before  uint64 // messages up to this number may have been delivered before the socket was made
	byKey   bool
	members int
	courier *courier           // of the members, or of the last ones
	halt    context.CancelFunc // ends it
	lost    uint64             // messages, as reported
	untold  uint64             // messages that were gone when members came, and are to be reported
	accord  accord
}

// SpoolNames is what a Spool can do besides where it is the log of a publisher, with durable subscriptions.
type SpoolNames interface {
	// Consumers returns the names of all consumers.
	Consumers() []string
	// RemoveConsumer forgets a consumer and its position. One that is not there is a spool.ErrNoConsumer.
	RemoveConsumer(name string) error
}

// subscribed is a peer that may have a durable subscription.
type subscribed struct {
	a       *archive
	p       *pipe
	refused atomic.Bool // what it says of messages counts for nothing any more: others get them

	lookMu sync.Mutex // guards the fields down to the next group; taken before the courier's
	group  *group
	many   int    // topics
	joined bool   // it takes part
	before uint64 // the last tag that it had when it began to
	gone   bool   // it gets nothing more

	mu     sync.Mutex // guards the fields below; taken under the courier's
	topics route.Prefixes
	digest uint64 // of topics: that of each of them, combined
}

func (a *archive) init(f *fanout) {
	c := f.c
	a.c, a.in.c, a.out = c, c, f
	if c.bad != nil || c.cfg.openSpool == nil {
		return
	}
	if err := a.open(); err != nil {
		c.bad = fmt.Errorf("%w: WithSpool: %w", ErrOption, err)
		return
	}
	f.log = a
}

var errNoNames = errors.New("the Spool keeps no durable subscriptions: it is to have the methods of SpoolNames")

func (a *archive) open() error {
	log, err := a.c.cfg.openSpool()
	if err != nil {
		return err
	}
	names, ok := log.(SpoolNames)
	if !ok {
		return errors.Join(errNoNames, log.Close())
	}
	if err := a.c.cfg.checkKind(log); err != nil {
		return errors.Join(err, log.Close())
	}
	a.in.spool, a.names = log, names
	a.in.stream, _ = log.Stream()
	a.c.cfg.announce(log)
	a.c.tellRecovery(SpoolTrouble, SpoolTorn, log)
	a.found = log.State().Next - 1
	a.ctx, a.stop = context.WithCancel(context.Background())
	a.groups, a.seed = map[string]*group{}, maphash.MakeSeed()
	a.c.archive, a.c.keeper = a, a
	a.in.watched = make(chan struct{})
	go a.in.watch(a.ctx, a.settlements.tell) // ends with a.stop in close, which waits for it
	return nil
}

// retain has a connection on which messages are acknowledged keep them; others are part of the fan-out.
func (a *archive) retain(p *pipe) {
	p.member.Store(nil)
	if _, out := p.peer.Load().Acknowledged(); !out {
		p.durable.Store(nil)
		return
	}
	p.durable.Store(&subscribed{a: a, p: p})
	p.out.Retain(link.Retention{Stream: a.in.stream, Acked: &a.c.sent.acked, Settled: func(lo, hi uint64) {
		if m := p.member.Load(); m != nil {
			m.settle(lo, hi)
		}
	}})
}

func (a *archive) acked(*pipe, int) {}

func (a *archive) nacked(p *pipe, n zmtp.Nack) error { return p.refuse(n) }

var errTwice = fmt.Errorf("%w: a second RESUME", zmtp.ErrCommand)

// resume handles RESUME. An error ends the connection.
func (a *archive) resume(p *pipe, data []byte) error {
	d := p.durable.Load()
	r, err := zmtp.ParseResume(data)
	switch {
	case err != nil:
		return err
	case p.member.Load() != nil:
		return errTwice
	}
	peer := p.peer.Load()
	if authorize := a.c.cfg.durableAuthorizer; authorize != nil {
		if err := authorize(peer, r.Name); err != nil {
			err = fmt.Errorf("%w: %w", ErrForbidden, err)
			a.c.unlawful.Add(1)
			a.c.report(Event{Kind: Forbidden, Endpoint: p.endpoint, Peer: peer, Name: r.Name, Err: err})
			a.refuse(p, r.Name, err)
			return nil
		}
	}
	answer, err := a.enter(d, &r)
	if err != nil {
		a.refuse(p, r.Name, err)
		return nil
	}
	p.out.Control(zmtp.AppendResumed(nil, &answer), false)
	a.c.report(Event{Kind: Resumed, Endpoint: p.endpoint, Peer: peer, Name: r.Name, From: answer.Floor + 1, To: answer.Next - 1})
	d.lookMu.Lock()
	d.lookLocked()
	d.lookMu.Unlock()
	a.settlements.tell()
	return nil
}

// refuse tells a peer that it does not get its subscription, and ends the connection.
func (a *archive) refuse(p *pipe, name string, why error) {
	why = fmt.Errorf("durable subscription %q: %w", name, why)
	who := p.peer.Load()
	a.c.wg.Add(1)
	go func() { // ends when the connection has; the reader of this connection, which we are called by, does not end it otherwise
		defer a.c.wg.Done()
		p.expel(who, why, why.Error())
	}()
}

// enter makes a peer a member of its group.
func (a *archive) enter(d *subscribed, r *zmtp.Resume) (answer zmtp.Resumed, err error) {
	a.makeMu.Lock()
	defer a.makeMu.Unlock()
	names := a.names.Consumers()
	answer.New = !slices.Contains(names, r.Name)
	if limit := a.c.cfg.maxDurables; answer.New && limit > 0 && len(names) >= limit {
		return answer, &limitError{fmt.Errorf("there are %d, WithMaxDurables allows no more", len(names)), RefusedTopics}
	}
	from, err := a.in.spool.Consumer(r.Name, startOf(r))
	if err != nil {
		return answer, err
	}
	if answer.New {
		if err := a.keep(r.Name); err != nil {
			return answer, err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g := a.groups[r.Name]
	switch {
	case a.closing:
		return answer, ErrClosed
	case g == nil:
		g = &group{name: r.Name, from: from}
		if !answer.New {
			g.before = a.found
		}
		a.groups[r.Name] = g
	case g.members > 0 && g.byKey != r.ByKey:
		return answer, fmt.Errorf("%w: its members are to have WithKeyOrder all, or none", ErrState)
	}
	if err := d.agree(g); err != nil {
		return answer, err
	}
	g.from = from
	if g.members == 0 {
		g.byKey, g.untold = r.ByKey, g.courier.untold(from)
		a.startLocked(g)
	}
	g.members++
	m := g.courier.member(durableWay{spoolWay{d.p}})
	m.wants = d.wants
	d.lookMu.Lock()
	d.p.member.Store(m)
	d.group = g
	d.lookMu.Unlock()
	answer.Floor, _ = from.Position()
	answer.Next = max(a.in.spool.State().Next, answer.Floor+1)
	return answer, nil
}

// keep has a new name survive us, or forgets it. A subscriber that was told of it would else begin anew after a crash, where it is told to, and not where it was.
func (a *archive) keep(name string) error {
	ctx, cancel := context.WithTimeout(a.ctx, flushLimit)
	defer cancel()
	err := syncOf(ctx, a.in.spool)
	if err != nil {
		err = errors.Join(fmt.Errorf("its place cannot be kept: %w", err), a.names.RemoveConsumer(name))
	}
	return err
}

func startOf(r *zmtp.Resume) spool.Start {
	switch r.From {
	case zmtp.FromEnd:
		return spool.End()
	case zmtp.FromNumber:
		return spool.At(r.Value)
	case zmtp.FromTime:
		return spool.Since(unixNano(r.Value))
	}
	return spool.Beginning()
}

// startLocked has a courier serve a group whose first member comes. The one before it may not have ended yet.
func (a *archive) startLocked(g *group) {
	c := newCourier(g.from, a.c.cfg.retryPolicy(), func(n courierNews) { a.hear(g, n) })
	c.choosy, c.before, c.prior = true, g.before, g.courier
	c.pace.end = func() uint64 { return a.found + a.in.msgs.Load() }
	if g.byKey {
		c.lanes = newLanes(a.c.cfg.messageKey)
	}
	var ctx context.Context
	ctx, g.halt = context.WithCancel(a.ctx)
	g.courier = c
	go func() { // ends with a.stop in close, or with the last member; close waits for it
		c.follow()
		c.run(ctx)
	}()
}

// hear passes on what the courier of a group says.
func (a *archive) hear(g *group, n courierNews) {
	switch {
	case n.settled:
		a.settlements.tell()
	case n.gap != nil:
		count := n.gap.To - n.gap.From + 1
		a.mu.Lock()
		g.lost, g.untold = g.lost+count, g.untold-min(g.untold, count)
		a.mu.Unlock()
		a.c.missed.Add(count)
		a.c.hub.emit(Event{Kind: Missed, Name: g.name, From: n.gap.From, To: n.gap.To, Count: count, Err: n.gap})
	case n.dead != nil:
		n.dead.Name = g.name
		a.c.bury(*n.dead)
	case n.trouble != nil:
		a.in.trouble(g.name, n.trouble)
	}
}

// detach gives back what a peer did not acknowledge, and ends the courier with the last member.
func (a *archive) detach(p *pipe) {
	d := p.durable.Load()
	if d == nil {
		return
	}
	defer a.settlements.tell()
	d.quit()
	m := p.member.Load()
	if m == nil {
		p.out.Return()
		return
	}
	p.part(m)
	a.mu.Lock()
	defer a.mu.Unlock()
	g := d.group
	if g.members--; g.members == 0 {
		g.halt()
	}
}

// halt has nothing handed out any more.
func (a *archive) halt() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closing = true
	for _, g := range a.groups {
		g.courier.halt()
	}
}

// close ends the couriers, when all connections have ended, and lets the log go.
func (a *archive) close() {
	a.stop()
	a.mu.Lock()
	groups := maps.Clone(a.groups) // RemoveDurable may be at work
	a.mu.Unlock()
	for _, g := range groups { // none is made any more
		<-g.courier.over
	}
	<-a.in.watched
	a.closeErr = closeAtEnd(a.in.spool)
}
