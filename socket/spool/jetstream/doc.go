// Package jetstream keeps a socket's messages in NATS JetStream: the spool for those who outgrow one disk. Messages are replicated
// by the servers; Send returns when they have confirmed. It is a socket.Spool:
//
//	nc, err := nats.Connect("nats://one,nats://two,nats://three")
//	s, err := jetstream.Open(ctx, nc, "orders", jetstream.Options{Replicas: 3})
//	push := socket.NewPush(socket.WithSpoolOn(s))
//
// With Options.Kind spool.Topic it is the log of a PUB, with durable subscriptions.
//
// It needs nats-server 2.11 or later. Nothing else of this module links nats.go.
//
// # Streams
//
//	stream        subject                                     holds
//	NAME          meshmq.spool.NAME.INCARNATION               the messages: number and stream sequence are the same
//	NAME_state    meshmq.state.NAME.owner                     the incarnation that may write
//	              meshmq.state.NAME.at.CONSUMER               position.go: what a consumer has acknowledged, and failures
//	              meshmq.state.NAME.dead.CONSUMER.INC.NUMBER  a dead letter of that consumer
//
// NAME_state has in its metadata whose messages it goes with, and is on as many servers, so that one of the two that is gone is missed (spool.ErrDamaged, Options.Repair).
// It keeps the last message of each subject, and begins at a number drawn by lot. A message of one frame is its body; of others the header
// Mesh-Frames has the lengths, or says void where a message became too large for the servers before they had it. Everybody may read the streams, but nobody else may write to them.
//
// # One writer
//
// Open refuses a spool whose owner answers (spool.ErrInUse), else it takes it over: it counts the incarnation up, by
// compare and swap, and has the stream take messages on that incarnation's subject only. A former owner that comes back finds that out at
// its next message and fails. Each message names the sequence it expects before it, so that no place is
// taken twice, left out or changed by a retry; positions are written by compare and swap as well.
//
// # Goroutines and locks
//
//	goroutine       started by   ends with   does
//	sender          Open         Close       publishes what is queued, in order, and again after errors
//	keeper          Open         Close       writes positions every 50 ms, lets acknowledged messages go, and looks at the streams each second
//	of nats.go      Open, reads  Close       hear confirmations and answer those who want to know the owner
//
// Spool.mu guards the queue, Spool.at the positions; neither is held during I/O or together with the other. The connection is the caller's: it is neither
// configured nor closed here. Let it reconnect without end (nats.MaxReconnects(-1)). No message, position or letter is given to it to keep while it is not
// connected; one that it was given in the very moment in which it is cut off it may still keep, and servers that take less than those before shut it out for that.
package jetstream
