// Package ack is the bookkeeping of acknowledged links, as plain data: what the receiving end of one direction of one connection knows about the messages
// on it. What the sending end knows is part of its queue, in internal/link. transport/zmtp/ACK.md says what is exchanged. There is no lock, clock or connection here; the socket guards it and moves the bytes.
//
// Messages have tags, their count on the connection from 1 on. A tag is settled when the receiver has said what became of its message: handled
// (ACK) or refused (NACK). Memory is O(ranges of settled tags above the first unsettled one), and there is at most one such range more than there are
// unsettled tags, which the credit bounds.
package ack

import (
	"errors"
	"fmt"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// What a peer can do wrong. All end the connection.
var (
	// ErrViolation is wrapped by the others.
	ErrViolation = errors.New("acknowledgements broken")
	// ErrCredit: more messages were sent than the credit allows.
	ErrCredit = fmt.Errorf("%w: more messages than granted", ErrViolation)
)

// Range is the tags from First to Last, both included.
type Range = zmtp.TagRange
