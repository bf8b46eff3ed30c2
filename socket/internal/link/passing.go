package link

import "github.com/meshmq/meshmq/transport/zmtp"

// Msgs returns how many whole messages came on this connection. Within Command those are the ones before the command.
func (in *In) Msgs() uint64 { return in.msgs + uint64(in.batched) }

// Inside reports whether frames of a message came, and more of the same message are to follow.
func (in *In) Inside() bool { return in.frames > 0 }

// passes reports whether the command that begins at p need not end the batch.
func (in *In) passes() bool {
	if in.Passing == nil {
		return false
	}
	_, size, h, err := zmtp.ParseHeader(in.buf[in.p:in.w])
	if err != nil || h == 0 || size > uint64(in.w-in.p-h) {
		return false
	}
	name, _, err := zmtp.ParseCommand(in.buf[in.p+h : in.p+h+int(size)])
	return err == nil && in.Passing(name)
}
