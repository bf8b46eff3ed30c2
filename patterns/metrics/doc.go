// Package metrics tells Prometheus about sockets, spools and handlers:
//
//	m := metrics.New()
//	prometheus.MustRegister(m)
//	worker := pushpull.NewWorker[Order](patterns.WithMiddleware(m.Handles()))
//	err := m.Watch("orders", worker) // any socket, Worker, Service, Producer, ...
//
// # Of what is watched
//
// Read when Prometheus asks, with the label socket; nothing is counted twice, and the hot path knows nothing of it.
//
//	meshmq_socket_...   messages and bytes sent and received, dropped (reason), peers (state), refused peers (reason), queued messages and bytes
//	                    (direction), reconnects, and what acknowledged links say: unacknowledged, redelivered, duplicates, conflicts, refused, dead letters
//	meshmq_spool_...    of sockets with WithSpool: depth, bytes, age of the oldest message, in flight, delivered, redelivered, failed, dead letters,
//	                    full, broken, and what opening found (torn, damaged places, acks lost); of durable subscriptions (durable): lag, in flight, lost
//	meshmq_window_...   of sockets with WithWindow: what opening found (torn, damaged places, missing marks)
//	meshmq_log_...      of logs used without a socket (WatchSpool, label spool): bytes, segments, appended, syncs, dropped, full, failed, what opening found, lag (consumer)
//	meshmq_receiver_... of Workers, Services, Subscribers and Clients: handled, failed, malformed, expired, unhandled, unanswered (outcome), and in hand
//	meshmq_delayed_...  of Producers: messages that wait for their time, and those given up; their spool is a log by the name of the Producer's and "/delayed"
//
// # Of handlers and senders
//
// Observed by middleware, with the labels kind (work, call, event) and name (type, method or topic):
//
//	meshmq_handler_duration_seconds      histogram, of attempts, by outcome: ok, failed, rejected (permanent), panic, duplicate, answered (a call, with
//	                                     an error of the caller's)
//	meshmq_handler_lag_seconds           histogram: from when the message was made to when the first attempt began, by the clocks of both
//	meshmq_handler_retries_total         attempts that were not the first
//	meshmq_handler_in_flight             handlers at work
//	meshmq_send_duration_seconds         histogram, by outcome: ok, failed; for calls until the answer
//	meshmq_send_in_flight                messages being sent, calls not answered
//
// Rates come from the _count of a histogram, and percentiles from its buckets: 1 ms to 10 s, as the conventions of OpenTelemetry have
// them and finer at the low end, and as native histogram, exact within 10 %, where Prometheus scrapes those.
//
// # Cardinality
//
// A name is a label for the first 100 names (WithMaxNames); those that come later count as "other", so that
// peers who invent topics cannot fill the memory of anybody. No label has a peer, a message or an error's text.
//
// The package starts no goroutine.
package metrics
