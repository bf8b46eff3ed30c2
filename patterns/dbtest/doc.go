// Package dbtest tests what patterns/outbox and patterns/saga keep in databases against PostgreSQL and SQLite. It is a module of its own: nobody who
// uses meshmq shall have the drivers among the modules that theirs depend on. The PostgreSQL is one that the tests start themselves.
package dbtest
