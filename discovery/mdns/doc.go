// Package mdns is a registry for a LAN: multicast DNS (RFC 6762) with DNS service discovery
// (RFC 6763). Nothing needs to be set up.
//
// An instance is <ID>._meshmq._tcp.local., of the subtype <SERVICE>._sub._meshmq._tcp.local.; all
// there is to know about it is in its TXT record (record.go draws it). SRV and address records
// are there for other tools.
//
// # What is hashicorp/mdns, and what is ours
//
// Questions are answered by a Server of hashicorp/mdns on each interface, from a Zone that makes
// the records with its MDNSService. The rest it does not have: announcements and goodbyes, and
// a listener that hears those of others at once. Its Query is not used: it joins the group on the
// interface of the default route whatever interface it is given, and fails if there is none;
// it returns one instance of a packet with several, no record's life, and does not end with its
// context. Answers go to the asker alone, so questions are asked from a port of their own and as
// one-shot queries (RFC 6762, 5.1), for which known-answer suppression (7.1) is not required.
//
//	Announce --- twice, 1 s apart ------------------------------> group :5353 --> link.read --> Watch
//	Watch ------ question at 0, 1, 3, 9, 27, 60 s pauses -------> group :5353 --> mdns.Server
//	             and at 80, 85, 90 % of a record's life                               |
//	Watch <----- link.read <------------------- answer to the asker ------------------+
//	withdraw --- life 0, twice, 250 ms apart -------------------> group :5353 --> link.read --> Watch
//
// # What may be relied on
//
// A peer is found when it announces itself, or by the answer to the first question: milliseconds,
// or a good second if a packet was lost. One that withdraws is gone as fast. One that was killed
// is gone when its record's life ends: 15 s by default, see WithTTL. An instance heard through
// several interfaces is one instance with the endpoints of all. Records carry a revision, so that what
// is shown of an instance never goes back to what was announced before.
//
// What neighbours send is bounded (packet, record, endpoints, peers, rate of changes) and checked;
// what comes from other networks is ignored, and so are endpoints on the loopback interface if
// they come from another host. It is not authenticated: any neighbour can announce anything, or
// say goodbye for others. Names are not probed for conflicts (RFC 6762, 8.1): IDs are random.
//
// On the loopback interface only programs of this host are found. Linux lets anyone use it, with
// no route or flag to be set up; IPv6 multicast usually has no route there and is done without.
//
// # Goroutines
//
//	who            started by           ended by           awaited by
//	link.read      links.scan           link.close         link.close: four per interface, two per family
//	mdns.Server    links.scan           link.close         nobody: the library has no way; it ends at once
//	links.run      New                  Close              Close
//	repeat         Announce             1 s or withdraw    Close
//
// Watch runs on its caller's goroutine. Locks: Registry.mu, links.mu and answers.mu are never held
// together, nor during I/O.
package mdns
