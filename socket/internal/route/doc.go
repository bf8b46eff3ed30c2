// Package route decides where a message goes. It is plain data: no goroutine, no lock, no clock, no I/O.
// A socket type composes the parts it needs and calls them under its own lock; they are generic over the
// pipe, so they import nothing of the project and are tested without a connection.
//
//	RoundRobin  out   whose turn it is to be given a message          PUSH, DEALER, REQ
//	FairQueue   in    whose turn it is to be read                     every socket that receives
//	Table       out   the pipe with a routing id                      ROUTER, REP
//	Topics      out   the pipes that want a topic                     PUB, XPUB
//	Prefixes    in    the topics a subscriber asked for, counted      SUB, XSUB
//
// The zero value of each is empty and ready to use. None is safe for concurrent use, not even by readers
// alone (a match writes its stamp on the pipes it found), and none may be copied after first use.
package route
