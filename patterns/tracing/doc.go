// Package tracing makes OpenTelemetry spans of messages, and joins those of all services that one request goes through:
//
//	tracer := tracing.New()
//	pushpull.NewProducer[Order](patterns.WithSendMiddleware(tracer.Sends()))
//	pushpull.NewWorker[Order](patterns.WithMiddleware(tracer.Handles()))
//
// It needs the API of OpenTelemetry only; where spans go is up to the SDK that the program sets up.
//
// # Spans
//
//	message       sender                     receiver
//	work          producer "send NAME"       consumer "process NAME"
//	event         producer "publish TOPIC"   consumer "process TOPIC"
//	call          client "METHOD"            server "METHOD"
//
// A span of the sender begins when the message is made and ends when it is queued, that of a client when the call is answered; repeated calls have
// one each. A span of the receiver is one attempt: what is delivered again has one for each. Attributes follow the semantic conventions for
// messaging and RPC, which are not final: they may change with a version of this module.
//
// A consumer's span has the sender's as its parent and, as the conventions ask, a link to it. So a request is one trace wherever it goes.
// With [WithLinks] it has the link alone, and a trace of its own: for events with very many subscribers, or work that
// waits for days. A server's span is always the child of the client's.
//
// An error is the span's status, but for the server's span of a call that was answered with an error code other than internal,
// deadline_exceeded, unavailable or overloaded: that is the caller's affair. A panic is recorded with its stack.
//
// # On the wire
//
// The headers traceparent, tracestate and baggage, as W3C has them. A message's sender decides what they say: baggage and trace ids that come from
// untrusted peers are untrusted.
//
// The package starts no goroutine.
package tracing
