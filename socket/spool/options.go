package spool

import (
	"errors"
	"fmt"
	"time"
)

// Policy says when an append counts as done.
type Policy uint8

// The policies.
const (
	// Always: when the message is durable on disk. One sync carries what all callers queued meanwhile.
	Always Policy = iota
	// Interval: when the operating system has the message; a sync follows within Options.Interval. The message
	// survives the end of the process, not the loss of power before that sync.
	Interval
	// OS: when the operating system has the message, which syncs when it likes. Flush syncs.
	OS
)

// String returns the name used on the command line.
func (p Policy) String() string { return [...]string{"always", "interval", "os"}[min(p, OS)] }

// Full says what happens to an append when there is no room.
type Full uint8

// What an append does when quota, reserve or disk are used up.
const (
	// Block waits for room, until its context ends.
	Block Full = iota
	// Reject returns ErrFull.
	Reject
	// DropOldest drops the oldest segment, counted in Stats.Dropped and a Gap to who would have read it.
	DropOldest
)

// Retention bounds what a Topic keeps. Whole segments go, the oldest first, and never the newest, so up to one segment more is
// kept. Zero values do not bound; all zero keeps everything, up to the quota.
type Retention struct {
	// Age is how long messages are kept at least.
	Age time.Duration
	// Bytes is how much disk the messages may take.
	Bytes int64
	// Count is how many messages are kept at least.
	Count uint64
}

// Options of a log. The zero value is a durable queue.
type Options struct {
	// Kind is Queue unless set. A log is opened as what it was made.
	Kind Kind
	// Policy says when Append returns. Default: Always.
	Policy Policy
	// Interval is the time between syncs with that policy. Default: 1 s.
	Interval time.Duration
	// SegmentSize is the size of the files, in bytes, from 64 KiB to 3.5 GiB. Two are allocated at any time.
	// Where the disk has no room for that they are smaller, down to an eighth. Default: 16 MiB. It may change from one opening to the next.
	// Each begins with the state of all consumers, twice, which has to be little against it: 10,000 names of 128 bytes, which take 2.7 MB of each, fill small ones for a message or two.
	SegmentSize int64
	// Quota is how many bytes the messages may take on disk, with a segment more while one of a queue is copied. The dead letters may
	// take as many again, by themselves, and what Repair put aside counts nowhere, so leave room for twice the quota. Where letters have no room, messages stay. 0: no bound but the disk.
	Quota int64
	// Reserve is how many bytes the log leaves free on its disk, but for the few KiB without which one that was not closed could not be opened, read and acknowledged. Default: 0.
	Reserve int64
	// Full says what an append does when there is no room. Default: Block.
	Full Full
	// Retention bounds a Topic. It must be zero for a Queue.
	Retention Retention
	// MaxMessage is the most bytes a message may have, all frames together. Default: 64 MiB; at most 255 MiB. What the
	// quota could never hold is too large, too.
	MaxMessage int
}

const (
	minSegment = 64 << 10
	// maxPending bounds what waits in memory for the disk, besides one message that is larger.
	maxPending = 8 << 20
	// stateRoom is kept free at the end of each segment for acknowledgements, so that they can be written
	// when there is no room for messages. 1/16 of a segment, but not more than this.
	stateRoom = 256 << 10
	// lastRoom is the end of that, kept for letting segments go, which makes room for all else: some thirty bytes for each consumer of a queue.
	lastRoom = 1 << 10
	// stateDelay bounds how long an acknowledgement waits to be written when nothing else is.
	stateDelay = 50 * time.Millisecond
	// maxUnnoted bounds how many messages are acknowledged and not in a file yet, which the end of the process has read again, at a
	// write for so many. With the 256 that a courier of package socket hands out between two looks they are 4,096: an eighth of the credit that is given
	// by default.
	maxUnnoted = 3840
	// tendEvery is how often age is looked at, and a full disk is tried again.
	tendEvery = time.Second
)

// filled returns the options with their defaults, or says which contradict.
func (o Options) filled() (Options, error) {
	setDefault(&o.Kind, Queue)
	setDefault(&o.Interval, time.Second)
	setDefault(&o.SegmentSize, 16<<20)
	setDefault(&o.MaxMessage, 64<<20)
	switch {
	case o.Kind > kindDead:
		return o, fmt.Errorf("spool options: kind %d: use Queue or Topic", o.Kind)
	case o.Policy > OS || o.Full > DropOldest:
		return o, errors.New("spool options: unknown policy")
	case o.Interval < 0 || o.Reserve < 0 || o.Retention.Age < 0 || o.Retention.Bytes < 0:
		return o, errors.New("spool options: negative value")
	case o.SegmentSize < minSegment || o.SegmentSize > maxSegmentSize:
		return o, fmt.Errorf("spool options: segment size %d: use %d to %d", o.SegmentSize, minSegment, int64(maxSegmentSize))
	case o.Quota != 0 && o.Quota < 2*o.SegmentSize:
		return o, fmt.Errorf("spool options: quota %d: two segments of %d must fit", o.Quota, o.SegmentSize)
	case o.MaxMessage < 0 || o.MaxMessage > maxPayload-1<<20:
		return o, fmt.Errorf("spool options: largest message %d: use up to %d", o.MaxMessage, maxPayload-1<<20)
	case o.Kind.queues() && o.Retention != Retention{}:
		return o, errors.New("spool options: retention is for a Topic; a Queue keeps messages until they are acknowledged")
	}
	return o, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// tooLarge reports whether no segment can ever have room for a record of size bytes, however empty the spool.
func (o *Options) tooLarge(size int64) bool {
	return o.Quota > 0 && dataStart+2*sector+size+o.reserved() > max(o.Quota-o.SegmentSize, o.SegmentSize)
}

// reserved is what messages leave free at the end of each segment, unless one is alone in it.
func (o *Options) reserved() int64 { return min(stateRoom, o.SegmentSize/16) }

// reopened is the size of a segment in which a log goes on behind end: with room for acknowledgements, but the quota must leave room for the next segment,
// or there would never be one.
func (o *Options) reopened(end int64) int64 {
	size := max(o.SegmentSize, end+o.reserved())
	if o.Quota > 0 {
		size = min(size, o.Quota-o.SegmentSize)
	}
	return size
}
