package socket

// stats fills in what there is to say about the spool.
func (s *spooler) stats(into *Stats) {
	state, counts := s.spool.State(), s.courier.counted()
	_, flying := s.courier.members()
	pending := pendingOf(s.from)
	into.MessagesOut, into.BytesOut = s.msgs.Load(), s.bytes.Load()
	into.Spool = &SpoolStats{
		Messages: pending, Bytes: state.Bytes, Next: state.Next, InFlight: flying,
		Delivered: counts.delivered, Redelivered: counts.redelivered, Settled: counts.settled, Failed: counts.failed, DeadLettered: counts.buried,
		Full: state.Full, Broken: state.Failed, Recovery: recoveryOf(s.spool),
	}
	if pending > 0 {
		into.Spool.Oldest = oldestOf(s.from)
	}
}
