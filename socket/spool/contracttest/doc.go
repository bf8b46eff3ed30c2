// Package contracttest is what every socket.Spool must do, as tests that each of them runs.
package contracttest
