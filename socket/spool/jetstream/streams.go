package jetstream

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/meshmq/meshmq/socket/spool"
)

// Keys of the metadata of streams.
const (
	metaVersion     = "mesh-version"
	metaKind        = "mesh-kind"
	metaID          = "mesh-id"          // of the spool, at its messages
	metaOf          = "mesh-of"          // the same at its state, from when there is a stream of messages
	metaIncarnation = "mesh-incarnation" // the last one, should the state be lost
)

// find looks at the stream of messages, if it is there.
func (s *Spool) find(ctx context.Context) (there bool, err error) {
	ctx, cancel := s.patient(ctx)
	defer cancel()
	stream, err := s.js.Stream(ctx, s.name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, _ = rand.Read(s.id[:]) // never fails
		return false, nil
	}
	if err != nil {
		return false, err
	}
	config := stream.CachedInfo().Config
	meta := config.Metadata
	id, err := hex.DecodeString(meta[metaID])
	bare := err != nil || len(id) != len(s.id)
	switch {
	case bare && len(config.Subjects) == 1 && strings.HasPrefix(config.Subjects[0], subjects(s.name)):
		return true, &fault{fmt.Sprintf("stream %s has lost the metadata of its spool: set %s, %s, %s (%s of stream %s) and %s (the end of its subject) again",
			s.name, metaVersion, metaKind, metaID, metaOf, stateName(s.name), metaIncarnation), []error{spool.ErrForeign}}
	case bare:
		return true, foreign(config)
	case meta[metaVersion] != version:
		return true, fmt.Errorf("version %q: %w", meta[metaVersion], spool.ErrVersion)
	case meta[metaKind] != s.options.Kind.String():
		return true, fmt.Errorf("it is a %s: %w", meta[metaKind], spool.ErrKind)
	case config.Sealed, config.DenyPurge && s.options.Kind == spool.Queue:
		return true, denied(s.name)
	}
	s.was = config
	copy(s.id[:], id)
	last, _ := strconv.ParseUint(meta[metaIncarnation], 10, 32) // the state knows it as well
	s.incarnation = uint32(last)
	return true, nil
}

// findState looks at the stream of positions and dead letters, and makes it for a new spool. It is not paired if it is that of other messages.
func (s *Spool) findState(ctx context.Context, there bool) (paired bool, err error) {
	ctx, cancel := s.patient(ctx)
	defer cancel()
	name := stateName(s.name)
	s.state, err = s.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if there && !s.options.Repair {
			return false, s.damaged("stream %s is gone, with positions and dead letters", name)
		}
		s.state, err = s.js.CreateStream(ctx, s.options.stateConfig(s.name))
		return true, err
	}
	if err != nil {
		return false, err
	}
	config := s.state.CachedInfo().Config
	of := config.Metadata[metaOf]
	paired = of == "" || of == s.id.String()
	switch {
	case !slices.Equal(config.Subjects, []string{stateSubject(s.name, ">")}):
		return false, foreign(config)
	case config.Metadata[metaVersion] != version:
		return false, fmt.Errorf("%s: version %q: %w", name, config.Metadata[metaVersion], spool.ErrVersion)
	case config.Sealed:
		return false, denied(name)
	case !paired && !s.options.Repair:
		return false, s.damaged("stream %s, with the messages, is gone, or is not the one that it was", s.name)
	}
	s.stateKeeps.Store(config.DenyDelete && config.DenyPurge)
	return paired, nil
}

// keepSettings leaves what the servers would refuse to change back, and what is the operator's to say, as they are.
func keepSettings(c, was *jetstream.StreamConfig) {
	c.DenyDelete, c.DenyPurge, c.AllowMsgTTL = was.DenyDelete, was.DenyPurge, was.AllowMsgTTL
	c.Description, c.Placement, c.Compression = was.Description, was.Placement, was.Compression
}

// drop lets go of one message among the positions and dead letters, by its sequence, so that a request that comes late finds nothing else.
func (s *Spool) drop(ctx context.Context, subject string, sequence uint64) error {
	ctx, cancel := s.patient(ctx)
	defer cancel()
	err := s.remove(ctx, sequence)
	if refused(err, codeDelete) { // maybe for good; this may be permitted
		err = s.state.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(sequence+1))
	}
	switch {
	case missing(err):
		return nil
	case refused(err, codePurge):
		return fmt.Errorf("%w (%w)", denied(stateName(s.name)), err)
	}
	return err
}

// remove is DeleteMsg of nats.go, with an error that says what the servers said.
func (s *Spool) remove(ctx context.Context, sequence uint64) error {
	m, err := s.nc.RequestWithContext(ctx, s.api("STREAM.MSG.DELETE."+stateName(s.name)), fmt.Appendf(nil, `{"seq":%d,"no_erase":true}`, sequence))
	if err != nil {
		return err
	}
	var a answer
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return err
	}
	if a.Error != nil {
		return a.Error
	}
	return nil
}

// removable returns an error if positions and letters cannot be let go.
func (s *Spool) removable() error {
	if s.stateKeeps.Load() {
		return denied(stateName(s.name))
	}
	return nil
}

// pair has the stream of positions say whose it is, and be on as many servers as the messages.
func (s *Spool) pair(ctx context.Context) error {
	config := s.state.CachedInfo().Config
	if config.Replicas == s.options.Replicas && config.Metadata[metaOf] == s.id.String() {
		return nil
	}
	config.Replicas, config.Metadata = s.options.Replicas, maps.Clone(config.Metadata)
	config.Metadata[metaOf] = s.id.String()
	state, err := s.js.UpdateStream(ctx, config)
	if err == nil {
		s.state = state
	}
	return err
}
