// Package doctor looks at a machine, its LAN, endpoints and spools, and says whether they are fit for a mesh.
//
// A check gathers facts and judges them apart from that: what is judged is plain data, so that tests make it up. What a
// system does not tell is said to be unknown, and is no failure. No check takes a message that is meant for somebody else: it
// poses only as types of sockets that are handed none.
//
// What an endpoint says is read up to maxHeard octets, under the deadline of the check.
package doctor
