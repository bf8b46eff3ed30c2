package jetstream

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/meshmq/meshmq/socket/spool"
)

// Options of a spool. The zero value is a durable queue on one server.
type Options struct {
	// Kind is spool.Queue unless set. A spool is opened as what it was made.
	Kind spool.Kind
	// Replicas is how many servers keep each message, an odd number up to 5. With 3, one may be lost. Default: 1.
	Replicas int
	// Memory keeps messages in the servers' memory and not on their disks: when all that have them restart they are gone, see Repair. Default: false.
	Memory bool
	// Quota is how many bytes the messages may take on each server; dead letters have no bound but theirs. 0: no bound but theirs.
	Quota int64
	// Full says what Append does when the servers have no room. Default: spool.Block.
	Full spool.Full
	// Retention bounds a spool.Topic. It must be zero for a spool.Queue.
	Retention spool.Retention
	// Window is how many messages may be on their way to the servers; they are in memory. Enqueue blocks while there are more. Default: 1024, and 8 MiB.
	Window int
	// Duplicates is how long the servers know a message that is published again. Longer outages are survived as well: see package documentation,
	// "One writer". Default: 2 min.
	Duplicates time.Duration
	// Repair opens what is left of a spool that has lost one of its two streams, or messages that were acknowledged, which is spool.ErrDamaged otherwise. Without
	// positions all that is there is delivered again, names are forgotten and dead letters gone; without messages only dead letters are left. Default: false.
	Repair bool
	// Domain is the JetStream domain of the servers. Default: none.
	Domain string
	// Patience is how long an answer is waited for before the servers are asked again. It ends no call. Default: 5 s.
	Patience time.Duration
}

const (
	maxWindowBytes = 8 << 20 // what waits for confirmations, besides one message
	syncDelay      = 50 * time.Millisecond
	version        = "1" // of what is in the streams
)

// filled returns the options with their defaults, or says which contradict.
func (o Options) filled() (Options, error) {
	setDefault(&o.Kind, spool.Queue)
	setDefault(&o.Replicas, 1)
	setDefault(&o.Window, 1024)
	setDefault(&o.Duplicates, 2*time.Minute)
	setDefault(&o.Patience, 5*time.Second)
	switch {
	case o.Kind != spool.Queue && o.Kind != spool.Topic:
		return o, fmt.Errorf("spool options: kind %d: use Queue or Topic", o.Kind)
	case o.Replicas != 1 && o.Replicas != 3 && o.Replicas != 5:
		return o, fmt.Errorf("spool options: %d replicas: use 1, 3 or 5", o.Replicas)
	case o.Full > spool.DropOldest:
		return o, errors.New("spool options: unknown policy")
	case o.Quota < 0 || o.Window < 0 || o.Duplicates < 0 || o.Patience < 0 ||
		o.Retention.Age < 0 || o.Retention.Bytes < 0:
		return o, errors.New("spool options: negative value")
	case o.Kind == spool.Queue && o.Retention != spool.Retention{}:
		return o, errors.New("spool options: retention is for a Topic; a Queue keeps messages until they are acknowledged")
	case o.Retention.Bytes > 0 && o.Quota > 0:
		return o, errors.New("spool options: the stream has one bound in bytes: use Quota or Retention.Bytes")
	case o.Retention != spool.Retention{} && o.Full != spool.DropOldest && o.Quota > 0:
		return o, errors.New("spool options: a Topic with a retention and a quota must be DropOldest: the servers know one rule for both")
	}
	return o, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// config returns the stream of the messages, for an incarnation.
func (o Options) config(name string, id spool.ID, incarnation uint32) jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name: name, Subjects: []string{subject(name, incarnation)}, Replicas: o.Replicas, Storage: o.storage(),
		Discard: jetstream.DiscardNew, Duplicates: o.Duplicates, AllowDirect: true,
		MaxBytes: -1, MaxMsgs: -1, MaxMsgSize: -1, MaxConsumers: -1,
		Metadata: map[string]string{
			metaVersion: version, metaKind: o.Kind.String(), metaID: id.String(), metaIncarnation: strconv.FormatUint(uint64(incarnation), 10),
		},
	}
	if o.Full == spool.DropOldest || o.Retention != (spool.Retention{}) {
		c.Discard = jetstream.DiscardOld
	}
	if n := o.Quota + o.Retention.Bytes; n > 0 { // one of the two
		c.MaxBytes = n
	}
	if o.Retention.Count > 0 {
		c.MaxMsgs = int64(o.Retention.Count)
	}
	if o.Retention.Age > 0 {
		c.MaxAge = o.Retention.Age
		c.Duplicates = min(c.Duplicates, c.MaxAge)
	}
	return c
}

// stateConfig returns the stream of positions and dead letters. It is on disk even where messages are not. It begins at a number that no other has, so that what somebody writes to
// a stream that was there before under this name, and that is gone, expects numbers that are not here.
func (o Options) stateConfig(name string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: stateName(name), Subjects: []string{stateSubject(name, ">")}, Replicas: o.Replicas, MaxMsgsPerSubject: 1,
		MaxBytes: -1, MaxMsgs: -1, MaxMsgSize: -1, MaxConsumers: -1, FirstSeq: 1 + rand.Uint64N(1<<40),
		Metadata: map[string]string{metaVersion: version},
	}
}

func (o Options) storage() jetstream.StorageType {
	if o.Memory {
		return jetstream.MemoryStorage
	}
	return jetstream.FileStorage
}

func subject(name string, incarnation uint32) string {
	return subjects(name) + strconv.FormatUint(uint64(incarnation), 10)
}

func subjects(name string) string { return "meshmq.spool." + name + "." }

func stateName(name string) string { return name + "_state" }

func stateSubject(name, rest string) string { return "meshmq.state." + name + "." + rest }

// checkName refuses what cannot be the name of a stream; dots are for consumers only.
func checkName(name string, dots bool) error {
	ok := len(name) >= 1 && len(name) <= 128 && name[0] != '.'
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.' && dots
	}
	switch {
	case ok:
		return nil
	case !dots:
		return &fault{fmt.Sprintf("%q: not the name of a stream: use 1 to 128 letters, digits, '_' and '-'", name), []error{spool.ErrName}}
	}
	return fmt.Errorf("%q: %w", name, spool.ErrName)
}
