// Package outbox publishes what a database has committed: a message is written into a table by the same transaction that changes the data it tells of, and a relay
// publishes it after that. So there is no message about a change that was rolled back, and no change whose message was lost in a crash between the two.
// It works with database/sql, on PostgreSQL and SQLite, and links no driver.
//
//	tx: UPDATE orders ...; outbox.Add(ctx, tx, ...); COMMIT          table "outbox"
//	                                                                     |  Relay: fetch, in order
//	                                                   Sink.Send, Flush  v
//	                                             socket with WithSpool or WithAck  --->  receivers, which drop duplicates by id
//	                                                                     |
//	                                                                     v  settle: marked as published
//
// # What is promised
//
// A committed message is published at least once, one that was rolled back never. Published means what the sink says: with ToPush and ToPublisher, that the socket's spool has it on
// disk, or that a worker has handled it. It is marked only after that; a crash, or a lost connection to the database, in between has it published again, with the
// same id and the same bytes. At most one batch is.
//
// Messages of one key (WithKey) are first published in the order in which their transactions committed, all messages in that order with WithTotalOrder, and others in no promised order.
// Three things make that true. Rows are numbered as they are inserted, and two transactions with a key in common pass from Add to commit one after the other (an advisory lock in
// PostgreSQL; in SQLite, all writers do), so that numbers follow commits. Rows are found by their state, not by their place behind the last one, so one whose transaction
// commits late is not skipped. And a row that waits for its next attempt holds up those of its key behind it. A message that is parked is out of that order.
//
// # Relays
//
// Any number of relays may run; one of them leads. That is a row in a second table, which the leader renews, and whose epoch it must still have when it marks what it has published: a leader that
// was thought dead, and comes back, marks nothing, and publishes no more than it is about to. Its clock is the database's. A lease works through
// connection pools that take session locks apart, and the same in both databases; the price is that after a crash the next relay waits for its end. (Shutdown gives it back at once.)
//
// # Bad messages, bad times
//
// While nobody takes messages, or the database does not answer, the relay waits and tries again, for ever; nothing is counted against a message. A message that by itself cannot be
// published is tried WithAttempts times, or once if it can never be (a malformed topic), and then parked with the reason, which is an Event to be acted on: Parked lists those, Unpark has them tried again.
//
// # Goroutines
//
// Run works on the caller's goroutine, with one more that renews the lease while it leads, and one for WithWait; both have ended when Run returns. No lock is held during a query or a call of sink or hook.
package outbox
