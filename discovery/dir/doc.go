// Package dir is a registry for the processes of one machine: a directory with one JSON file per
// announced instance. It needs no network, which makes it the fallback where multicast is not
// possible.
//
// An instance writes ID.json under a temporary name and renames it, so a reader sees all of it
// or none, and sets its modification time anew three times per time to live. Withdrawing
// removes the file. Who watches reads the directory ten times a second. A file not refreshed for
// its time to live is the file of a process that was killed: it is ignored from then on, and
// removed by the next registry that announces.
//
//	{"id":"5f0c2a...","service":"orders","name":"desk","endpoints":["tcp://127.0.0.1:5555"],"meta":{},"ttl_ms":3000}
//
// Who may write to the directory may announce: make it private. Times are compared with this
// machine's clock; do not share the directory over a network.
//
// # Goroutines
//
// One per announcement, which refreshes its file until withdrawn; withdraw waits for it, and
// Close withdraws all. Watch runs on its caller's. The one lock is not held during I/O.
package dir
