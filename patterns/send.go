package patterns

import "github.com/meshmq/meshmq/codec"

// SendOption changes one message before it is sent. Options are applied in the order given, after
// the envelope was filled in.
type SendOption func(*codec.Envelope)

// Change makes the change. With it a SendOption stands among the options of a call of package reqrep.
func (o SendOption) Change(e *codec.Envelope) { o(e) }

// WithHeader gives the message a header. Keys are best in lower case. An envelope takes 64 headers
// of 16 KiB together; more is an error of the call that sends.
func WithHeader(key, value string) SendOption {
	return func(e *codec.Envelope) { e.SetHeader(key, value) }
}

// WithID gives the message an id of the caller's, for example that of the order it is about, in
// place of a new one. Default: codec.NewID, which is also what a call has in place of the zero ID: its
// reply refers to it.
func WithID(id codec.ID) SendOption {
	return func(e *codec.Envelope) { e.ID = id }
}

// WithType names the type of the value. Default: the name of its Go type without the package, none for
// types without a name. Receivers that want another type refuse it; an empty name suits all of them.
func WithType(name string) SendOption {
	return func(e *codec.Envelope) { e.Type = name }
}
