package spool

const (
	aheadBytes = 256 << 10 // are written ahead at a time
	aheadBatch = 64 << 10  // a sync of more is not helped by it: its own bytes take longer than the change of their extents
)

var zeros [aheadBytes]byte

// writeAhead writes zeros behind the end, for the next sync to make durable with what is before them, if they help the syncs after it: see
// overwriter. They are what is there already, so no reader and no recovery sees a difference, whatever of them a crash leaves. That is why an error is none of the
// log's: a disk that cannot take what is written says so at the sync.
func (l *Log) writeAhead() {
	if !l.overwrites || l.off <= l.ahead || l.off-l.synced > aheadBatch {
		return
	}
	l.mu.Lock()
	size := l.active().size
	l.mu.Unlock()
	l.ahead = min(l.off+aheadBytes, size)
	if l.ahead > l.off && writeAt(l.file, zeros[:l.ahead-l.off], l.off) != nil {
		l.ahead = size // never mind in this segment
	}
}
