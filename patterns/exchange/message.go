package exchange

import (
	"reflect"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/wire"
)

// Message is what is routed. It is the Router's and the destinations' until Route returns, and for one call of Route at a time; it can be used again.
type Message struct {
	Topic   string         // what Direct and Topic look at, the routing key of AMQP; a topic as pubsub.CheckTopic has it, or empty
	Type    string         // of the value; empty stands for the name of its Go type
	Key     string         // what it is about: Split has messages of one key go one way, and receivers keep them in order
	Headers []codec.Header // it is sent with them
	Value   any            // what is sent

	hops int // routers it is within
}

// Header returns the value of a header, and whether there is one.
func (m *Message) Header(key string) (value string, ok bool) {
	for i := range m.Headers {
		if m.Headers[i].Key == key {
			return m.Headers[i].Value, true
		}
	}
	return "", false
}

// typeName is the type that rules look at.
func (m *Message) typeName() string {
	if m.Type != "" {
		return m.Type
	}
	return wire.TypeName(reflect.TypeOf(m.Value))
}

// option has the message's type, key and headers be sent with the value.
func (m *Message) option() patterns.SendOption {
	return func(e *codec.Envelope) {
		if m.Type != "" {
			e.Type = m.Type
		}
		if m.Key != "" {
			e.SetHeader(patterns.HeaderKey, m.Key)
		}
		for _, h := range m.Headers {
			e.SetHeader(h.Key, h.Value)
		}
	}
}
