package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/meshmq/meshmq/socket/spool"
)

// Letters iterates over the dead letters, the oldest first, and ends with the last that is there when it begins. Number is the letter's own, for Purge; what is not a letter is an
// error, after which it goes on; any other error is the last.
func (s *Spool) Letters(ctx context.Context) iter.Seq2[spool.Letter, error] {
	return func(yield func(spool.Letter, error) bool) {
		if err := s.err(); errors.Is(err, spool.ErrClosed) {
			yield(spool.Letter{}, fmt.Errorf("dead letters: %w", err))
			return
		}
		info, err := s.state.Info(ctx)
		if err != nil {
			yield(spool.Letter{}, fmt.Errorf("dead letters: %w", typed(err)))
			return
		}
		for n := uint64(1); n <= info.State.LastSeq; n++ { // who replays letters beside a receiver that refuses them would come to no other end
			m, err := s.state.GetMsg(ctx, n, jetstream.WithGetMsgSubject(stateSubject(s.name, "dead.>")))
			if missing(err) || err == nil && m.Sequence > info.State.LastSeq {
				return
			}
			if err != nil {
				yield(spool.Letter{}, fmt.Errorf("dead letters from %d on: %w", n, typed(err)))
				return
			}
			n = m.Sequence
			if !yield(parseLetter(m)) {
				return
			}
		}
	}
}

func parseLetter(m *jetstream.RawStreamMsg) (spool.Letter, error) {
	l := spool.Letter{Number: m.Sequence, Buried: m.Time, Incarnation: incarnationOf(m.Header), Reason: m.Header.Get(headerReason), Consumer: m.Header.Get(headerConsumer)}
	var errs [4]error
	l.Origin, errs[0] = strconv.ParseUint(m.Header.Get(headerNumber), 10, 63)
	l.Attempts, errs[1] = strconv.Atoi(m.Header.Get(headerAttempts))
	l.Time, errs[2] = time.Parse(time.RFC3339Nano, m.Header.Get(headerTime))
	l.Frames, errs[3] = unpack(m.Header, m.Data)
	if err := errors.Join(errs[:]...); err != nil {
		return l, fmt.Errorf("letter %d: %w", m.Sequence, errors.Join(errForm, err))
	}
	return l, nil
}

// Replay puts the message of a letter back into the spool, behind all others, and purges the letter when that is confirmed, as Replay of spool.Dead does: receivers are
// told the place that it had at first. A letter that was replayed or purged, or is being replayed, is spool.ErrNumber; while nothing may be removed from the stream of letters all are
// ErrDenied, and nothing is put back. After a crash, or the end of ctx, between the two there are both.
func (s *Spool) Replay(ctx context.Context, letter spool.Letter) (uint64, error) {
	subject, err := s.takeLetter(ctx, letter.Number)
	if err == nil && subject == "" {
		err = spool.ErrNumber
	}
	if err != nil {
		return 0, fmt.Errorf("replay letter %d: %w", letter.Number, err)
	}
	defer s.releaseLetter(letter.Number)
	m := pack(letter.Frames)
	if letter.Origin > 0 {
		m.Header.Set(headerNumber, strconv.FormatUint(letter.Origin, 10))
		m.Header.Set(headerIncarnation, strconv.FormatUint(uint64(letter.Incarnation), 10))
	}
	n, err := s.append(ctx, m)
	if err == nil {
		err = typed(s.drop(ctx, subject, letter.Number))
	}
	if err != nil {
		return n, fmt.Errorf("replay letter %d: %w", letter.Number, err)
	}
	return n, nil
}

// takeLetter returns the subject of a letter if it is there, for one caller alone until releaseLetter.
func (s *Spool) takeLetter(ctx context.Context, n uint64) (subject string, err error) {
	if err := s.err(); errors.Is(err, spool.ErrClosed) {
		return "", err
	}
	if err := s.removable(); err != nil {
		return "", err
	}
	s.at.Lock()
	_, taken := s.taken[n]
	s.taken[n] = struct{}{}
	s.at.Unlock()
	if taken {
		return "", fmt.Errorf("%w: it is being replayed", spool.ErrNumber)
	}
	m, err := s.state.GetMsg(ctx, n)
	if err == nil && strings.HasPrefix(m.Subject, stateSubject(s.name, "dead.")) {
		return m.Subject, nil
	}
	s.releaseLetter(n)
	if missing(err) {
		err = nil
	}
	return "", typed(err)
}

func (s *Spool) releaseLetter(n uint64) {
	s.at.Lock()
	defer s.at.Unlock()
	delete(s.taken, n)
}

// Purge lets the letter of that number go for good. One that is gone is no error, one that is being replayed spool.ErrNumber, and any ErrDenied
// while nothing may be removed from their stream.
func (s *Spool) Purge(ctx context.Context, number uint64) error {
	subject, err := s.takeLetter(ctx, number)
	if subject != "" {
		defer s.releaseLetter(number)
		err = typed(s.drop(ctx, subject, number))
	}
	if err != nil {
		return fmt.Errorf("purge letter %d: %w", number, err)
	}
	return nil
}
