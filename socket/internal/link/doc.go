// Package link is one ZMTP connection at work, after its handshake: the hot path.
//
// Out is the write end. Append encodes a message's frames into a queue of byte segments under the
// queue's lock; whoever holds the right to write (the writing flag) takes all that is queued to one
// write call. That is the caller of Append, through Flush, when the peer spoke last, and one answer was enough the last time, when messages have come one by one
// for a while, when it is the first on its connection, or when a good deal is queued, or as much as may be, and the kernel takes it without blocking; else it is the pump goroutine, which
// Append wakes only when it sleeps. Where it then finds no processor, callers write while that lasts (late). Short messages that follow one like them are added in a row, in which nothing is to be decided (AppendRow); who makes
// such a message may do so in its place (Lend).
//
// While callers write full chunks the pump rests; what they leave is written after that, or by who is about to wait for the peer (FlushHot), or when a peer within the process finds nothing to read.
// There large bodies and full chunks are handed to the peer, and chunks come back when their messages have been given back (share). Where each write is sealed or framed by itself (CURVE,
// TLS, ws) what lies in several parts is copied together and written by one call (join).
//
// Of a socket with many connections the queues stand in a Line, in which messages gather, and few pumps write for all of them.
//
// In is the read end. Fill reads a chunk, finds the whole messages in it and hands them on as one
// Batch: a slice of the chunk that is decoded as messages are taken from it. The caller holds the
// right to read (In.Baton). Messages that no chunk can hold get a buffer of their own, which grows
// with the bytes that arrive and not with the size that the peer claims, unless one as large has come before. Where several like the last
// have come already, one read takes them all (run).
//
// Neither end allocates or touches a channel per message. Locks: Out.mu guards the queue and is held
// during no callback, and no I/O but what Settle tries; and while a message is made in its place. Line.mu, calm.mu, the lock of rests and, within the process, the connection's are taken under it; In has none but the baton.
package link
