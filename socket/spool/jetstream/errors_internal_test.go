package jetstream

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"

	"github.com/meshmq/meshmq/socket/spool"
)

// TestLasting: which answers of the servers end a spool, and which are tried again.
func TestLasting(t *testing.T) {
	t.Parallel()
	said := func(code int, number jetstream.ErrorCode) error {
		return fmt.Errorf("publish: %w", &jetstream.APIError{Code: code, ErrorCode: number, Description: "so it is"})
	}
	for err, why := range map[error]error{
		jetstream.ErrStreamNotFound:                errGone,
		said(404, 10059):                           errGone,
		said(400, codeSealed):                      errSealed,
		jetstream.ErrJetStreamNotEnabledForAccount: errNoAccount,
		said(400, 10054):                           errRefused, // message size exceeds maximum allowed
		said(400, 10166):                           errRefused, // a rule of the stream that was none when it was opened
		nil:                                        nil,
		nats.ErrNoResponders:                       nil,
		nats.ErrDisconnected:                       nil,
		context.DeadlineExceeded:                   nil,
		nats.ErrMaxPayload:                         errPayload,
		errors.New("anything"):                     nil,
		jetstream.ErrJetStreamNotEnabled:           nil, // what nats.go says when nobody answers
		said(503, codeUnavailable):                 nil,
		said(500, 10009):                           nil, // not the leader
		said(409, 10158):                           nil, // a duplicate that is being stored
		said(429, 10167):                           nil, // too many requests
		said(400, 10071):                           nil, // wrong last sequence: the stream is looked at
		said(400, 10164):                           nil,
		said(400, codeAccountLimit):                nil, // room that others may give back
		said(503, codeStore):                       nil,
	} {
		got := lasting(err)
		assert.ErrorIs(t, got, why, err)
		if why != nil {
			assert.ErrorIs(t, got, spool.ErrFailed)
		}
	}
}

// TestMissing: a message that was deleted, or is to be when it is not there any more.
func TestMissing(t *testing.T) {
	t.Parallel()
	for code, want := range map[jetstream.ErrorCode]bool{10037: true, 10043: true, 10057: false, 10059: false} {
		assert.Equal(t, want, missing(fmt.Errorf("delete: %w", &jetstream.APIError{ErrorCode: code})), code)
	}
	assert.False(t, missing(nil))
}
