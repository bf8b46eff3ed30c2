package patterns

import (
	"fmt"
	"reflect"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns/internal/conf"
	"github.com/meshmq/meshmq/socket"
)

// Schemas knows the versions of message types: patterns/schema has the one to use. It is called by several goroutines at once.
type Schemas interface {
	// Name returns the name that values of type t travel under, "" for types it does not know. These have that of their Go type.
	Name(t reflect.Type) string
	// Encode checks v, appends its body to dst as c writes it, and sets the schema version of e. What it refuses is not sent.
	Encode(dst []byte, c codec.Codec, e *codec.Envelope, v any) ([]byte, error)
	// Decode reads the body of e, which c wrote, into v, a pointer, whichever version it has. A version that cannot be read
	// is ErrVersion.
	Decode(c codec.Codec, e *codec.Envelope, v any) error
}

// WithSchemas has the bodies of messages written and read by s. Without it a message has no version, and the codec alone decides
// what of it is understood.
func WithSchemas(s Schemas) Option {
	return func(cfg *conf.Config) error {
		if s == nil {
			return fmt.Errorf("%w: WithSchemas(nil): want a registry", socket.ErrOption)
		}
		cfg.Schemas = s
		return nil
	}
}
