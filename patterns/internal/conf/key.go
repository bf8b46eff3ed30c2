package conf

// EnvelopeKey is the key of the envelope in a handler's context. It is here for contexts of our own that have one.
type EnvelopeKey struct{}

// LeaseKey is the key of the function in a handler's context that extends the lease of its message.
type LeaseKey struct{}
