package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meshmq/meshmq/socket/spool"
)

// owner is the record of who may write, and what an owner says when it is asked.
type owner struct {
	Incarnation uint32    `json:"incarnation"`
	Host        string    `json:"host"`
	PID         int       `json:"pid"`
	Since       time.Time `json:"since"`
}

// Open opens a spool, and makes its streams if there are none. The name is that of the stream of messages: letters, digits, '_' and '-'. What was not
// acknowledged is there still. Each opening is a new incarnation and ends the former owner's right to write. The connection stays
// the caller's; close the spool before it. While the servers say nothing, or that they are temporarily unavailable, it is tried again until ctx ends.
//
// Errors: spool.ErrInUse (a *spool.InUseError) while the owner answers; ErrForeign for streams that are no spool's; ErrKind, ErrVersion, ErrName; ErrDenied of this package;
// ErrDamaged when one of the two streams is gone, or messages are that had been acknowledged (see Options.Repair); those of the servers. Nothing but the incarnation is changed then.
func Open(ctx context.Context, nc *nats.Conn, name string, o Options) (*Spool, error) {
	again := 0
	for pause := backoff(0); ; {
		s, err := open(undated{ctx}, nc, name, o)
		switch {
		case err == nil:
			return s, nil
		case alreadyMade(err) && again < maxAgain:
			again++
		case !unavailable(err) && !errors.Is(err, context.DeadlineExceeded):
			return nil, fmt.Errorf("open spool %s: %w", name, typed(err))
		}
		select {
		case <-time.After(pause.next()): // a cluster that elects a leader of all
		case <-ctx.Done():
			return nil, fmt.Errorf("open spool %s: %w", name, typed(err))
		}
	}
}

// undated is a context without a deadline, so that each request has the client's own: one that is lost with a leader is asked again.
type undated struct{ context.Context }

func (undated) Deadline() (at time.Time, ok bool) { return at, false }

func open(ctx context.Context, nc *nats.Conn, name string, o Options) (*Spool, error) {
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	if err := checkName(name, false); err != nil {
		return nil, err
	}
	if err := checkServer(nc); err != nil {
		return nil, err
	}
	s := &Spool{
		nc: nc, name: name, options: o, inbox: nc.NewInbox(), positions: make(map[string]*consumer),
		taken:  make(map[uint64]struct{}),
		broken: make(chan struct{}), kick: make(chan struct{}, 1), soon: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		voids: make(map[uint64]error), link: nc.Stats().Reconnects,
	}
	s.most()
	if o.Domain == "" {
		s.js, err = jetstream.New(nc)
	} else {
		s.js, err = jetstream.NewWithDomain(nc, o.Domain)
	}
	if err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	before := nc.LastError()
	if err := s.take(ctx); err != nil {
		if why := s.silenced(err, before, `.`+name+`"`, `.`+stateName(name)+`"`, stateSubject(name, "")); why != nil {
			err = why
		}
		s.cancel()
		for _, sub := range s.subs {
			_ = sub.Unsubscribe() // the connection has ended
		}
		return nil, err
	}
	s.finished.Add(2)
	link := s.link // the sender's from here on
	go s.send()    // both end with s.cancel in Close, which waits
	go s.keep(link)
	return s, nil
}

// maxAgain is how often a spool is looked for again that somebody else seems to make: for some 5 s, as the servers say the same when a disk is broken.
const maxAgain = 8

// maxHeader is what a stream takes of headers, at any setting.
const maxHeader = math.MaxUint16

// headerRoom is what headers take of the largest message, those of a dead letter included.
const headerRoom = 4 << 10

// leastPayload is what servers must take: messages that are worth their headers, and positions of some ranges.
const leastPayload = 16 * headerRoom

// checkServer finds out whether the server can do what is needed: reads of many messages at a time came with 2.11.
func checkServer(nc *nats.Conn) error {
	var major, minor int
	v := nc.ConnectedServerVersion()
	if _, err := fmt.Sscanf(v, "%d.%d", &major, &minor); err == nil && (major < 2 || major == 2 && minor < 11) {
		return fmt.Errorf("the server is nats-server %s: use 2.11 or later", v)
	}
	if payload := nc.MaxPayload(); payload < leastPayload {
		return fmt.Errorf("the servers take messages of %d bytes: raise max_payload to %d", payload, leastPayload)
	}
	return nil
}

// take becomes the owner of the streams.
func (s *Spool) take(ctx context.Context) error {
	if err := s.listen(); err != nil {
		return err
	}
	there, err := s.find(ctx)
	if err != nil {
		return err
	}
	paired, err := s.findState(ctx, there)
	if !there && errors.Is(err, spool.ErrDamaged) { // unless another process makes both now
		if there, err = s.find(ctx); err == nil {
			paired, err = s.findState(ctx, there)
		}
	}
	if err != nil {
		return err
	}
	if err := s.claim(ctx, there); err != nil {
		return err
	}
	s.subject = subject(s.name, s.incarnation)
	if !there || !paired {
		if err := s.state.Purge(ctx, jetstream.WithPurgeSubject(stateSubject(s.name, "at.>"))); err != nil {
			if refused(err, codePurge) {
				err = fmt.Errorf("%w (%w)", denied(stateName(s.name)), err)
			}
			return err // positions of messages that are no more
		}
	}
	config := s.options.config(s.name, s.id, s.incarnation)
	if there {
		keepSettings(&config, &s.was)
		s.stream, err = s.js.UpdateStream(ctx, config)
	} else {
		s.stream, err = s.js.CreateStream(ctx, config)
	}
	if err != nil {
		return err
	}
	if err := s.pair(ctx); err != nil {
		return err
	}
	info, err := s.stream.Info(ctx)
	if err != nil {
		return err
	}
	s.safe.Store(info.State.LastSeq)
	s.highest = info.State.LastSeq
	s.created, s.stateSince = info.Created, s.state.CachedInfo().Created
	s.note(info.State)
	return s.load(ctx, info.State)
}

// listen has answers to messages heard; that nobody may is known before there are any.
func (s *Spool) listen() error {
	sub, err := s.nc.Subscribe(s.inbox+".*.*", s.hear)
	if err != nil {
		return err
	}
	s.subs = append(s.subs, sub)
	return sub.SetPendingLimits(-1, -1) // answers, of which there are no more than messages
}

// claim counts the incarnation up unless the present owner answers. Who claims can be asked before the claim is written, so that of several one succeeds.
func (s *Spool) claim(ctx context.Context, there bool) error {
	subj := stateSubject(s.name, "owner")
	var now owner
	revision := uint64(0)
	switch last, err := s.state.GetLastMsgForSubject(ctx, subj); {
	case err == nil:
		if err := json.Unmarshal(last.Data, &now); err != nil {
			return fmt.Errorf("read who owns the spool: %w", errors.Join(err, s.damaged("stream %s_state holds what is no spool's", s.name)))
		}
		revision = last.Sequence
	case !missing(err):
		return err
	case there && !s.options.Repair: // it had one before there were messages
		return s.damaged("stream %s_state has lost what it held, positions and dead letters", s.name)
	}
	ask := "meshmq.owner." + s.name
	before, quoted := s.nc.LastError(), `"`+ask+`"`
	answer, err := s.ask(ctx, ask)
	switch why := s.forbidden(err, before, quoted); {
	case err == nil:
		return inUse(answer)
	case ctx.Err() != nil:
		return ctx.Err()
	case why != nil: // else an owner that is there would be taken for one that is not
		return why
	}
	host, _ := os.Hostname() // unknown is no reason to stop
	s.incarnation = max(s.incarnation, now.Incarnation) + 1
	b, err := json.Marshal(owner{Incarnation: s.incarnation, Host: host, PID: os.Getpid(), Since: time.Now()})
	if err != nil {
		return err
	}
	sub, err := s.nc.Subscribe(ask, func(m *nats.Msg) { _ = m.Respond(b) }) // who asks waits in vain at worst
	if err != nil {
		return err
	}
	s.subs = append(s.subs, sub)
	wait, cancel := s.patient(ctx)
	defer cancel()
	if err := s.nc.FlushWithContext(wait); err != nil {
		return err
	}
	if why := s.denied(before, quoted); why != nil { // nobody could ask this one
		return why
	}
	_, err = s.js.Publish(ctx, subj, b, jetstream.WithExpectLastSequencePerSubject(revision))
	if outdated(err) {
		return fmt.Errorf("another process opens it now: %w", &spool.InUseError{})
	}
	return err
}

// ask returns what the owner says. One that is cut off from the servers may be silent for as long as they take it for connected.
func (s *Spool) ask(ctx context.Context, subject string) ([]byte, error) {
	ctx, cancel := s.patient(ctx)
	defer cancel()
	m, err := s.nc.RequestWithContext(ctx, subject, nil)
	if err != nil {
		return nil, err
	}
	return m.Data, nil
}

// inUse returns the error that names the owner.
func inUse(answer []byte) error {
	var o owner
	if err := json.Unmarshal(answer, &o); err != nil {
		return &spool.InUseError{}
	}
	return &spool.InUseError{PID: o.PID, Host: o.Host, Since: o.Since}
}

// load reads the positions of all consumers. They are written again, so that a former owner cannot change them any more.
func (s *Spool) load(ctx context.Context, messages jetstream.StreamState) error {
	prefix := stateSubject(s.name, "at.")
	for n := uint64(1); ; n++ {
		m, err := s.state.GetMsg(ctx, n, jetstream.WithGetMsgSubject(prefix+">"))
		if missing(err) {
			break
		}
		if err != nil {
			return err
		}
		n = m.Sequence
		p, err := parsePosition(m.Data)
		if err != nil {
			return fmt.Errorf("position %s: %w", m.Subject, errors.Join(err, s.damaged("stream %s_state holds what is no spool's", s.name)))
		}
		if last := p.last(); last > messages.LastSeq {
			if !s.options.Repair {
				return s.damaged("stream %s ends at message %d, but %d was acknowledged", s.name, messages.LastSeq, last)
			}
			p = &position{floor: min(p.floor, messages.LastSeq)}
		}
		token := m.Subject[len(prefix):]
		s.positions[token] = &consumer{s: s, token: token, p: p, changes: 1, floor: p.floor, revision: m.Sequence}
	}
	if token := tokenOf(""); s.options.Kind == spool.Queue && s.positions[token] == nil {
		s.positions[token] = &consumer{s: s, token: token, p: &position{floor: max(messages.FirstSeq, 1) - 1}, changes: 1}
	}
	poke(s.soon)
	return nil
}

// incarnationOf returns the incarnation in a header of ours, 0 if there is none.
func incarnationOf(h nats.Header) uint32 {
	n, err := strconv.ParseUint(h.Get(headerIncarnation), 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}
