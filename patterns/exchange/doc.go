// Package exchange routes messages by rules, as the exchanges of brokers do, at their sender: a [Router] has bindings, each a [Rule] and the
// destinations of the messages it matches: producers, publishers, methods, other routers, or any function.
//
//	                    +-- rule "eu"  Topic("orders.eu.>") ----> a Producer
//	Route(message) -----+-- rule "big" Value(total > 1000) -----> a Publisher, a method of a service
//	                    +-- nothing matches --------------------> the alternate, or an UnroutableError
//
// The kinds of exchanges of AMQP are rules here: [Direct], [Fanout], [Topic], [HeadersAll] and [HeadersAny]; besides there are [Type], [Key], [Value] and [Func], and they
// combine by [And], [Or] and [Not]. [Split] shares messages among destinations, those of one key with one of them.
//
// # What may be relied on
//
// Rules are checked when they are bound: a malformed one is an ErrRule that names it. Bindings may be added and removed while messages are routed: each message sees those of one moment. To evaluate
// rules costs no allocation and no lock. A message goes to a destination once, however many bindings lead there. Destinations are tried one after the other on the
// caller's goroutine, and one that fails keeps nothing from the others: the error of Route names those that failed, so that they can be tried again. What a destination promises of a message it took is
// what it is: see the packages of the patterns. Nothing starts a goroutine.
package exchange
