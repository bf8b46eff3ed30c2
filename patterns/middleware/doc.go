// Package middleware has what handlers of all three patterns need around them, each a patterns.Middleware:
//
//	Timeout   ends the handler's context
//	Retry     tries again at once, in this process
//	Throttle  bounds the rate
//	Dedup     handles a message once, as far as a bounded memory goes
//	Breaker   stops trying while everything fails
//	Validate  refuses values that are not sound
//	Log       writes a line for each attempt
//
// What they do about a message that is sent instead is in ValidateSends, ThrottleSends and LogSends. Tracing and metrics
// are packages of their own, patterns/tracing and patterns/metrics.
//
// # Order
//
// The first one given to patterns.WithMiddleware is outermost. This order suits most:
//
//	patterns.WithMiddleware(
//		middleware.Log(nil),                           // sees what becomes of the message in the end
//		middleware.Dedup(10_000, time.Hour),           // before anything is spent on a duplicate
//		middleware.Validate(),
//		middleware.Breaker(middleware.BreakerPolicy{}), // counts messages, not the tries of Retry
//		middleware.Retry(middleware.RetryPolicy{}),
//		middleware.Throttle(50, 10),                   // bounds tries
//		middleware.Timeout(5*time.Second),             // for each try
//	)
//
// A panic of a handler, or of middleware within, is an error to those that have to know how it ended (Retry, Dedup, Breaker, Log): a
// *patterns.PanicError. It is a failed attempt in any case, with them or without. So is runtime.Goexit, after which Retry does not try again.
//
// Throttle keeps one account for all handlers that one value of it is put around; Dedup and Breaker keep one for each handler.
//
// None of them starts a goroutine. No lock is held while a handler runs or a caller's function is called, but for
// BreakerPolicy.OnChange.
package middleware
