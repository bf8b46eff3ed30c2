package reqrep

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/intake"
	"github.com/meshmq/meshmq/patterns/internal/wire"
	"github.com/meshmq/meshmq/socket"
)

var errMalformed = patterns.ErrMalformed

// take does what a message asks for: it answers a request, and then those that waited for that.
func (s *Service) take(ctx context.Context, m socket.Msg) {
	r := &request{Context: ctx, m: m}
	e := &r.envelope
	e.Headers = r.room[:0]
	err := wire.OpenInto(e, m.Bytes())
	switch {
	case err != nil:
	case e.ID.IsZero() && (e.Type == controlCancel || e.Type == controlTaken):
		if err = s.control(m, e); err == nil {
			m.Release()
			return
		}
	case e.ID.IsZero():
		err = fmt.Errorf("%w: no message id to refer a reply to", errMalformed)
	}
	if err != nil {
		s.loop.Refuse(ctx, m, nil, err) // nobody can be told
		return
	}
	r.e = e
	if err := r.open(); err != nil {
		s.refuse(r, r, err)
		return
	}
	if strings.HasPrefix(e.Type, reserved) {
		s.inquire(r, r)
		return
	}
	switch s.admit(r) {
	case handled:
		s.work(ctx, r, r.came)
	case leaving:
		s.reply(r, r, nil, Errorf(CodeUnavailable, "the service is shutting down").Retry(0))
	case crowded:
		s.reply(r, r, nil, Errorf(CodeOverloaded, "too many requests wait").Retry(0))
	}
}

// work handles a request, at the time now, and then those that wait.
func (s *Service) work(ctx context.Context, r *request, now time.Time) {
	defer func() {
		if v := recover(); v != nil { // a bug of ours ends the process now
			panic(v)
		}
		if r != nil { // its handler ended the goroutine
			s.work(ctx, s.next(ctx, r), time.Now())
		}
	}()
	for r != nil {
		s.handle(ctx, r, now)
		if r = s.next(ctx, r); r != nil {
			now = time.Now()
		}
	}
}

// handle calls the method's handler, at the time now, and replies.
func (s *Service) handle(ctx context.Context, r *request, now time.Time) {
	r.Context, ctx = ctx, r // it may be another's goroutine that has waited for a handler
	s.mu.Lock()
	m := s.methods[r.e.Type]
	s.mu.Unlock()
	if m == nil {
		s.loop.Refuse(ctx, r.m, r.e, fmt.Errorf("%w: no method %q", errMalformed, r.e.Type))
		s.reply(ctx, r, nil, Errorf(CodeUnknownMethod, "no method %q", r.e.Type))
		return
	}
	if err := patterns.Expired(r.e, now); err != nil {
		s.refuse(ctx, r, err)
		return
	}
	if !r.deadline.IsZero() && !now.Before(r.deadline) {
		s.expire(ctx, r)
		return
	}
	r.begin()
	r.method, r.streams = m, m.info.Streams && r.flow != nil
	defer r.end()
	m.meter.begin()
	stays := s.relief.begin(m)
	o := outcome{err: intake.ErrExit}
	defer func() {
		m.meter.end(now, o)
		s.conclude(ctx, r, o)
		if r.spent {
			r.m.Release()
		}
		s.relief.end(m, stays, now)
	}()
	o = m.answer(ctx, r)
}

// expire answers a request whose time was up before a handler was free.
func (s *Service) expire(ctx context.Context, r *request) {
	s.mu.Lock()
	s.desk.counts.Expired++
	s.mu.Unlock()
	s.reply(ctx, r, nil, Errorf(CodeDeadline, "%v before a handler was free", patterns.ErrExpired))
}

// conclude accounts for how a request ended, and replies.
func (s *Service) conclude(ctx context.Context, r *request, o outcome) {
	if o.bad != nil {
		s.refuse(ctx, r, o.bad)
		return
	}
	forsaken := r.forsaken.Load()
	answer, typed := errors.AsType[*Error](o.err)
	if typed && passedOn(o.err, answer) {
		answer = answer.secondHand(o.err)
		typed = answer.Code != CodeInternal
	}
	if o.err == nil || typed || forsaken && stopped(o.err) {
		s.loop.Settle(ctx, r.m, r.e, nil)
	} else {
		s.loop.Settle(ctx, r.m, r.e, o.err)
	}
	if forsaken {
		s.mu.Lock()
		s.desk.counts.Cancelled++
		s.mu.Unlock()
		return
	}
	if o.err != nil && answer == nil {
		answer = untyped(ctx, o.err)
	}
	s.reply(ctx, r, o.out, answer)
}

// stopped reports whether err says that a context has ended.
func stopped(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// untyped is what the caller is told of an error without a code.
func untyped(ctx context.Context, err error) *Error {
	pause, again := patterns.Pause(err)
	_, elsewhere := errors.AsType[*asked](err) // what was wrong with the answer to a call of the handler's own is not wrong with the request
	switch {
	case errors.Is(err, patterns.ErrPanic):
		return Errorf(CodeInternal, "%v", patterns.ErrPanic) // what it says is not the caller's business
	case ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded), errors.Is(err, patterns.ErrExpired):
		return Errorf(CodeDeadline, "%v", err)
	case !elsewhere && errors.Is(err, patterns.ErrType): // a middleware says so, here and below
		return Errorf(CodeWrongType, "%v", err)
	case !elsewhere && (errors.Is(err, patterns.ErrMalformed) || errors.Is(err, patterns.ErrInvalid)):
		return Errorf(CodeBadRequest, "%v", err)
	case !elsewhere && errors.Is(err, patterns.ErrVersion):
		return Errorf(CodeUnsupportedVersion, "%v", err)
	case again:
		return Errorf(CodeUnavailable, "%v", err).Retry(pause)
	}
	return Errorf(CodeInternal, "%v", err)
}

// refuse answers a request that does not decode, or has expired.
func (s *Service) refuse(ctx context.Context, r *request, err error) {
	s.loop.Refuse(ctx, r.m, r.e, err)
	code := CodeBadRequest
	switch {
	case errors.Is(err, patterns.ErrType):
		code = CodeWrongType
	case errors.Is(err, patterns.ErrVersion):
		code = CodeUnsupportedVersion
	case errors.Is(err, patterns.ErrExpired):
		code = CodeDeadline
	}
	s.reply(ctx, r, nil, Errorf(code, "%v", err))
}

// reply sends out, or failure if it is not nil. What cannot be encoded or is too large becomes an error for the caller.
func (s *Service) reply(ctx context.Context, r *request, out any, failure *Error) {
	err := s.send(ctx, r, out, failure)
	if err == nil {
		return
	}
	if failure != nil && failure.Message != "" && errors.Is(err, socket.ErrTooLarge) { // the caller takes very little
		s.reply(ctx, r, nil, &Error{Code: failure.Code, Retryable: failure.Retryable, RetryAfter: failure.RetryAfter})
		return
	}
	s.loop.Report(ctx, "reply", r.m, r.e, err)
	if failure == nil && !errors.Is(err, socket.ErrNoPeer) && !errors.Is(err, socket.ErrFull) && !errors.Is(err, socket.ErrClosed) {
		code := CodeInternal
		if errors.Is(err, socket.ErrTooLarge) {
			code = CodeTooLarge
		}
		s.reply(ctx, r, nil, Errorf(code, "reply: %v", err))
	}
}

func (s *Service) send(ctx context.Context, r *request, out any, failure *Error) error {
	if failure == nil && !r.streams && s.plain(r) {
		return s.sendPlain(ctx, r, out)
	}
	e := codec.Envelope{Type: r.e.Type}
	patience := ended // a client whose queue is full must not hold up the handlers of others
	if r.streams {
		e.Headers = r.streamHeaders(headerEnd, r.flow.count())
		patience, out = ctx, wire.NoBody // a stream holds up but its own
	}
	if failure == nil && !r.streams {
		e.Headers = valueHeader(e.Headers, s.conf.Schemas, out)
	}
	if failure != nil {
		e.Headers = append(e.Headers, failure.headers()...)
		out = wire.NoBody
		if tag := r.e.Header(headerCall); tag != "" && !r.streams { // that an attempt failed says nothing of the next
			e.Headers = append(e.Headers, codec.Header{Key: headerCall, Value: tag})
		}
	}
	return s.seal(ctx, r, e, out, func(_ context.Context, _ *patterns.Outgoing, frame []byte) error {
		return s.Router.Send(patience, r.envelop(frame)...)
	})
}

// seal encodes a reply by the codec that the request came in.
func (s *Service) seal(ctx context.Context, r *request, e codec.Envelope, out any, line wire.Line) error {
	sealer := &s.sealer
	if c, err := wire.CodecOf(r.e, s.conf.Codec); err == nil && c.Name() != s.conf.Codec.Name() {
		other := s.sealer
		other.Codec, sealer = c, &other
	}
	return sealer.Seal(ctx, "", &e, out, nil, line)
}

// buffers are what answers are made in.
var buffers = sync.Pool{New: func() any { return new(wire.Buffer) }}

// plain reports whether an answer is made by the service's own codec and nothing else.
func (s *Service) plain(r *request) bool {
	return s.sealer.Plain() && (r.e.Codec == "" || r.e.Codec == s.conf.Codec.Name())
}

// sendPlain is send for an answer that is plain.
func (s *Service) sendPlain(ctx context.Context, r *request, out any) error {
	b := buffers.Get().(*wire.Buffer)
	var frame []byte
	var err error
	if r.method != nil && !r.method.stencil.IsZero() {
		frame, err = s.sealer.Frame(ctx, b, &r.method.stencil, r.e.Type, r.method.headers, out)
	} else {
		var room [1]codec.Header
		frame, err = s.sealer.FrameWith(ctx, b, r.e.Type, valueHeader(room[:0], nil, out), out) // there are no schemas: see plain
	}
	if err == nil {
		err = s.Router.Send(ended, r.envelop(frame)...)
	}
	b.Close()
	buffers.Put(b)
	return err
}

// envelop returns the frames of a reply: what came before the request's envelope goes before that of the reply.
func (r *request) envelop(frame []byte) [][]byte {
	r.m.Frames[len(r.m.Frames)-1] = frame // the slice is ours, and what was there has been read
	return r.m.Frames
}

// streamHeaders says what a reply is in a stream.
func (r *request) streamHeaders(kind string, n uint64) []codec.Header {
	headers := []codec.Header{{Key: kind, Value: strconv.FormatUint(n, 10)}}
	if tag := r.e.Header(headerCall); tag != "" {
		headers = append(headers, codec.Header{Key: headerCall, Value: tag})
	}
	return headers
}

// item sends one item of a stream, when the caller wants it.
func (s *Service) item(ctx context.Context, r *request, out any) error {
	for !r.flow.room() {
		select {
		case <-r.flow.more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	e := codec.Envelope{Type: r.e.Type, Headers: valueHeader(r.streamHeaders(headerItem, r.flow.count()+1), s.conf.Schemas, out)}
	return s.seal(ctx, r, e, out, func(_ context.Context, o *patterns.Outgoing, frame []byte) error {
		r.flow.note(len(o.Envelope.Body))
		err := s.Router.Send(ctx, r.envelop(frame)...)
		if err != nil {
			r.flow.revoke()
		}
		switch {
		case errors.Is(err, socket.ErrNoPeer):
			r.forsake() // before the event that says so
			return context.Canceled
		case errors.Is(err, socket.ErrTooLarge):
			return Errorf(CodeTooLarge, "item %d: %v", r.flow.count()+1, err)
		}
		return err
	})
}

// ended makes Send a try.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()
