// Package conformance holds no code, only tests: one for each sentence of the ZeroMQ RFCs that says MUST or SHALL of what we
// have, and one for each behaviour that users know from libzmq. They see sockets as users do, through the public API, and as
// peers do, through the bytes on the wire.
//
// A test is named after what it proves, TestRFC28_REQ_RoundRobin or TestBehaviour18_RouterMandatory, and its comment
// says so in a sentence:
//
//	// RFC 28, REQ: SHALL route requests to its connected peers in turn.
//	//
//	// Differs: why, where we do otherwise on purpose; the test then shows what we do.
//
// A test that proves several sentences has a line for each. What does not apply to us is in notapplicable.txt, with the
// reason. From all of these TestTable makes CONFORMANCE.md, and fails when that is not up to date:
//
//	go test ./socket/conformance -run TestTable -update
package conformance
