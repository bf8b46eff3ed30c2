// Package demo is a small order business of several processes that find each other and work together: `meshmq demo`.
//
//	             orders (PUSH/PULL)                    quotes (REQ/REP)
//	order desk ---------------------> worker-a, -b <--------------------> price service
//	     |                                 |
//	     +------ events (PUB/SUB) ---------+------> auditor
//
// Run starts each as a process of this program and talks to it over pipes: one word on its standard input, one JSON object
// a line on its standard output. A process whose input ends goes too, so none outlives Run. All that
// concerns the business goes over the mesh. Half-way worker-a is told to leave while orders flow: it withdraws its announcement,
// the desk hands over what it had queued for it and hangs up, and worker-a finishes what it has and reports. Another process takes its place.
//
// The second act is about what is not lost.
//
//	              parcels (PUSH/PULL, acknowledged)          pickups (likewise)
//	packing desk ----------------------------------> shipper ------------------> carrier
//	                                                    |
//	                                                  spool
//
// The shipper acknowledges what is on disk. It is killed when the carrier has some of the parcels, and
// it has one in hand that is neither in its spool nor acknowledged: others are in the spool alone. Both stop there until it
// has happened, so that no clock decides what a run shows; the disk and the connections do not stop. Then a process with the same
// spool takes its place.
//
// The tables at the end are made of what each process counted for itself, and must add up.
//
// Goroutines: Run has one reader for each child's output, which ends with it and is waited for. A peer has one that reads its commands;
// it ends with the process.
package demo
