// Package servertest tests the spool in JetStream against servers in the same process. It is a module of its own: nats-server is heavy, and nobody who
// uses meshmq shall have it among the modules that theirs depend on.
package servertest
