package saga

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/socket/spool"
)

// Journal is a Store in a directory of its own, for one process at a time: a spool to which each new version of a saga is appended, and acknowledged when the next one is on
// disk, so that it takes the room that the sagas need. OpenJournal makes one; Close it in the end.
type Journal struct {
	*Memory
	log *spool.Log
}

// JournalOptions are how a Journal is kept. The zero value is durable.
type JournalOptions struct {
	// Spool are the options of the log. Its Kind is spool.Queue. With the policy spool.Always what was confirmed survives the loss of power.
	Spool spool.Options
	// Keep is how long sagas that have ended are kept. Default 24 h: so long does Start know that there was one with the same id.
	Keep time.Duration
	// AcceptDamage opens a journal some of whose records cannot be read, whose sagas are then lost or at an earlier step. Without it OpenJournal returns the *spool.Gap: people should know first.
	AcceptDamage bool
}

// OpenJournal opens the journal in dir, which is made if it is missing. All sagas that were owned are free: their owner has ended. Errors: those of spool.Open, and *spool.Gap for damage.
func OpenJournal(dir string, options JournalOptions) (*Journal, error) {
	log, err := spool.Open(dir, options.Spool)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j, err := newJournal(log, options)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open journal: %w", err), log.Close())
	}
	return j, nil
}

func newJournal(log *spool.Log, options JournalOptions) (*Journal, error) {
	if log.Kind() != spool.Queue {
		return nil, spool.ErrKind
	}
	if options.Keep == 0 {
		options.Keep = 24 * time.Hour
	}
	j := &Journal{Memory: NewMemory(options.Keep), log: log}
	j.write, j.drop = j.append, j.forget
	return j, j.read(options.AcceptDamage)
}

// read finds the last version of each saga. A version of an earlier epoch may lie behind one of a later one, if its owner was too slow: it does not count.
func (j *Journal) read(acceptDamage bool) error {
	reader := j.log.Queue().Reader()
	defer reader.Close()
	for {
		raw, err := reader.TryNext()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if gap, ok := errors.AsType[*spool.Gap](err); ok && (acceptDamage || !gap.Damaged) {
			continue
		}
		if err != nil {
			return err
		}
		r := new(Record)
		if len(raw.Frames) != 1 {
			return fmt.Errorf("record %d: %d frames, want 1: is this the spool of a socket?", raw.Number, len(raw.Frames))
		}
		if err := codec.Msgpack.Unmarshal(raw.Frames[0], r); err != nil {
			return fmt.Errorf("record %d: %w", raw.Number, err)
		}
		last := j.sagas[r.ID]
		if last != nil && last.Epoch > r.Epoch {
			j.forget(raw.Number)
			continue
		}
		if last != nil {
			j.forget(last.number)
		}
		j.put(&entry{Record: r, due: r.Updated, number: raw.Number})
	}
}

// append writes a version of a saga and lets the one before go.
func (j *Journal) append(ctx context.Context, r *Record, old uint64) (uint64, error) {
	frame, err := codec.Msgpack.Append(nil, r)
	if err != nil {
		return 0, err
	}
	number, err := j.log.Append(ctx, frame)
	if err != nil && number > 0 { // ctx ended, but it has its place: what is in the journal is to be known
		err = j.log.Wait(context.WithoutCancel(ctx), number)
	}
	if err != nil {
		return 0, err
	}
	if old != 0 {
		j.forget(old)
	}
	return number, nil
}

// forget has the log drop a record. If that is lost in a crash it is read again, and superseded again.
func (j *Journal) forget(number uint64) { _ = j.log.Queue().Ack(number, number) }

// Close closes the log. Runners must have ended.
func (j *Journal) Close() error { return j.log.Close() }
