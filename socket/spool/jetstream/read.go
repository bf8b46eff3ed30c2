package jetstream

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Headers of answers to direct reads.
const (
	headerStatus    = "Status"
	headerSequence  = "Nats-Sequence"
	headerTimeStamp = "Nats-Time-Stamp"
	headerSubject   = "Nats-Subject"
)

// question is what the servers are asked for messages with.
type question struct {
	Sequence uint64     `json:"seq,omitempty"`
	Next     string     `json:"next_by_subj,omitempty"`
	Batch    int        `json:"batch,omitempty"`
	MaxBytes int        `json:"max_bytes,omitempty"`
	Since    *time.Time `json:"start_time,omitempty"`
}

// stored is a message as the leader of a stream returns it.
type stored struct {
	Sequence uint64    `json:"seq"`
	Subject  string    `json:"subject"`
	Time     time.Time `json:"time"`
	Headers  []byte    `json:"hdrs"`
	Data     []byte    `json:"data"`
	Header   nats.Header
}

func (s *Spool) api(rest string) string {
	if s.options.Domain != "" {
		return "$JS." + s.options.Domain + ".API." + rest
	}
	return "$JS.API." + rest
}

// first asks the leader for the first message from n on.
func (s *Spool) first(ctx context.Context, n uint64) (*stored, error) {
	b, err := json.Marshal(question{Sequence: n, Next: ">"})
	if err != nil {
		return nil, err
	}
	m, err := s.nc.RequestWithContext(ctx, s.api("STREAM.MSG.GET."+s.name), b)
	if err != nil {
		return nil, err
	}
	var a struct {
		Message *stored             `json:"message"`
		Error   *jetstream.APIError `json:"error"`
	}
	switch err := json.Unmarshal(m.Data, &a); {
	case err != nil:
		return nil, fmt.Errorf("read message %d: %w", n, err)
	case a.Error != nil:
		return nil, a.Error
	case a.Message == nil:
		return nil, fmt.Errorf("read message %d: %w", n, errForm)
	}
	if len(a.Message.Headers) > 0 {
		if a.Message.Header, err = nats.DecodeHeadersMsg(a.Message.Headers); err != nil {
			return nil, fmt.Errorf("read message %d: %w", n, err)
		}
	}
	return a.Message, nil
}

// since returns the number of the first message that the servers stored at t or later; an earlier one if messages are gone of which some may have been, so that
// readers say so: 1, or the first that was there when all this began.
func (s *Spool) since(t time.Time) (uint64, error) {
	ctx, cancel := s.patient(s.ctx)
	defer cancel()
	b, err := json.Marshal(question{Batch: 1, Since: &t})
	if err != nil {
		return 0, err
	}
	before, err := s.stream.Info(ctx)
	if err != nil {
		return 0, err
	}
	m, err := s.nc.RequestWithContext(ctx, s.api("DIRECT.GET."+s.name), b)
	if err != nil {
		return 0, err
	}
	n := s.safe.Load() + 1
	if m.Header.Get(headerStatus) != "404" {
		r, err := direct(m)
		if err != nil {
			return 0, err
		}
		n = r.Number
	}
	after, err := s.stream.Info(ctx)
	gone := func(i *jetstream.StreamInfo) bool { return n <= i.State.FirstSeq && !t.After(i.State.LastTime) }
	switch {
	case err != nil:
		return 0, err
	case gone(before):
		return 1, nil
	case gone(after): // meanwhile
		return min(n, before.State.FirstSeq), nil
	}
	return n, nil
}

// lost asks the leader which message there is from n on, and returns the number of the last one before it that is missing, n-1 if
// none is.
func (s *Spool) lost(ctx context.Context, n uint64) (uint64, error) {
	info, err := s.stream.Info(ctx)
	if err != nil {
		return 0, err
	}
	safe := s.safe.Load()
	if info.State.LastSeq < safe {
		return 0, fmt.Errorf("the leader of the stream is at message %d of %d", info.State.LastSeq, safe)
	}
	s.note(info.State)
	if info.State.FirstSeq > n {
		return min(info.State.FirstSeq-1, safe), nil
	}
	m, err := s.first(ctx, n)
	if missing(err) {
		return safe, nil
	}
	if err != nil {
		return 0, err
	}
	return min(m.Sequence-1, safe), nil
}

// batch asks any server for messages from n on. Nothing is no error: that server may be behind.
func (s *Spool) batch(ctx context.Context, sub *nats.Subscription, reply string, n uint64) (into []found, err error) {
	safe := s.safe.Load()
	b, err := json.Marshal(question{Sequence: n, Batch: int(min(batchMessages, safe-n+1)), MaxBytes: batchBytes})
	if err != nil {
		return into, err
	}
	if err := s.nc.PublishRequest(s.api("DIRECT.GET."+s.name), reply, b); err != nil {
		return into, err
	}
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return into, fmt.Errorf("read from message %d on: %w", n, err)
		}
		if m.Subject != reply { // the rest of one that was given up
			continue
		}
		switch status := m.Header.Get(headerStatus); status {
		case "":
		case "204", "404":
			return into, nil
		default:
			return into, fmt.Errorf("read from message %d on: status %s", n, status)
		}
		r, err := direct(m)
		if r.Number == 0 {
			return into, err
		}
		if r.Number <= safe {
			into = append(into, found{r, err})
		}
	}
}

// Bounds of one read: enough that the way to the server and back is shared by many messages.
const (
	batchMessages = 256
	batchBytes    = 1 << 20
)
