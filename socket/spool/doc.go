// Package spool is the log on disk behind durable sockets: messages are appended, read in order by any number of
// readers from any place, acknowledged in any order by named consumers, and let go when nobody needs them.
// It imports nothing of package socket.
//
// # What may be relied on
//
// When Append has returned nil, with the policy Always, the message is on disk: it survives the end of the process, of
// the kernel and of the power, if the disk does what it says. Messages are read in the order of their numbers, each
// as it was written or not at all: what is damaged is a Gap, and takes no other message with it. Of writes that nobody
// was told of, a crash may leave some, in order, and never in part. An acknowledgement that a crash takes back
// means that a message is read twice; none is ever skipped.
//
// # Files
//
// A directory holds segments, named by their ordinals, the lock, the segment to come ("next"), what is known of the newest ("newest"), the dead letters in a
// folder, and what Repair has put aside (".bad") and found to be lost ("lost"). All numbers are little-endian; sums are CRC-32C.
//
//	segment   0        6     8    9     10   12          16              32          36           40
//	          +--------+-----+----+-----+----+-----------+---------------+-----------+------------+
//	          | MQSPOL | ver |kind|flags| 0  |incarnation| id of spool   |header salt|payload salt|
//	          +--------+-----+----+-----+----+-----------+---------------+-----------+------------+
//	          40               48               56               64               72    76        80
//	          +----------------+----------------+----------------+----------------+-----+---------+
//	          | ordinal        | first number   | created, ns    | until          | 0   | sum 0-75|
//	          +----------------+----------------+----------------+----------------+-----+---------+
//	          the same again at 4096; zeros between; records from 8192 on
//
// What is there twice lies 4096 bytes apart, which is what a disk loses at once. Version is 2. A flag that is not known means that the segment must not be read. Flag 1: acknowledged messages up
// to the number "until" have been left out. The salts are drawn for each segment.
//
//	record    0              4              8              16             24            28           32
//	          +--------------+--------------+--------------+--------------+-------------+------------+
//	          |kind<<28 |size| synced up to | number       | time, ns     | payload sum | header sum |
//	          +--------------+--------------+--------------+--------------+-------------+------------+
//	          payload, then zeros up to a multiple of 8
//
// The payload's sum is exclusive-or'ed with the payload salt; the header's sum is of bytes 0 to 27 and begins
// with the header salt. "Synced up to" is the offset below which the segment was durable when the record was written.
//
//	kind 1    message of one frame: the payload
//	kind 2    message of other frames: each its length as a varint, then its bytes
//	kind 3    changes of state: who acknowledged what (state.go has the operations); twice if a consumer was made or removed
//	kind 4    all of the state, twice at the beginning of each segment, the first padded to 4096 bytes
//	kind 5    end: all before it is durable; "turned" if another segment follows
//	kind 6    message that was a dead letter and was replayed: as kind 2, behind a frame of two varints, the number and the incarnation that it had before
//
// A record that is no message has the number of the next one. A segment is allocated as a whole, filled up, and
// cut to its length when the next one begins; that of a log that is closed keeps some room behind its end, so that there is some for changes of state when it is opened on a full disk. Where a log that was closed goes on, an empty record of kind 3 takes
// the place of the end.
//
//	newest    0                8                16               24      28        32
//	          +----------------+----------------+----------------+-------+---------+
//	          | ordinal        | salts          | number         | offset| sum 0-27|
//	          +----------------+----------------+----------------+-------+---------+
//
// It names the newest segment when that has its name. When the log is closed it says as well that all of the segment with these salts was durable below the offset, where the message with the
// number was to come: it is on disk before the mark of the end is written. Until then the bytes from 8 to 27 are zeros. It may say less than is true, or be missing, and never more: what lies below the offset stays as it is when
// the log goes on, and a segment that is written anew has other salts. One of 12 bytes has the ordinal and its sum alone.
//
//	lost      0             16             24
//	          +-------------+--------------+-----------------------------------------+------------------+
//	          | id of spool | next number  | ranges of numbers, as in a change       | sum of all before |
//	          +-------------+--------------+-----------------------------------------+------------------+
//
// It names messages that were lost to damage, so that those who count what is there need not read all of it. It may say less than is true, or be missing, and counts for nothing in a log
// that ends before the next number of then.
//
// # Opening
//
// Only headers and the last segment are read. A place there that holds no record is damage if some record, or "newest", says that it
// had been durable, or a checkpoint is behind it, and so are zeros and what was cut off below the offset in "newest"; else a write was torn, and the segment is cut off there. After anything but Close the log goes on
// in a new segment of another incarnation. Sums are looked at whenever a message is read.
//
// A directory without a segment becomes a new log, unless something in it has the name of a file of a log's and is none: what is there is left as it is (ErrForeign). An empty one
// of such a name is taken, and all of them where LOCK has the name of a holder, as what a log leaves that did not get so far as to have a segment.
//
// # Writing
//
// Append puts a record into a buffer. If nobody is writing, the caller writes the buffer, for all whose messages
// are in it, with one sync; else it waits for who does. What nobody waits for is written by a goroutine. A write or sync
// that fails stops the log for good (ErrFailed): what the disk then holds is found out by opening it again. With
// Always, Close cuts off what was not confirmed, since the kernel may show what never got to the disk.
//
// Acknowledgements go with the next commit. Who makes them too many for that waits for who writes, or writes them, without a sync if there is nothing else to write.
//
// # Goroutines and locks
//
//	goroutine    started by   ends with   does
//	committer    Open         Close       writes what nobody waits for; acknowledgements after 50 ms
//	keeper       Open         Close       allocates the next segment, smaller where the disk has less, drops and rewrites old ones
//
// Log.deadMu is taken before Log.mu. No lock is held during I/O: who writes has the baton (Log.busy), and the fields
// that go with it. Opening the dead letters holds deadMu, which nothing else waits for.
package spool
