// Package saga carries out work of several steps in several services as if it were one: all of it is done, or what was done is undone. It is for what no single transaction
// can span: a booking that reserves a seat, charges a card and sends a ticket. Each step has an action and a compensation; if an action fails for good,
// the compensations of the steps that were begun are run in reverse order.
//
//	Start --> Running: Do 1, Do 2, Do 3 ---------------------------------> Completed
//	                        |   fails for good
//	                        v
//	          Compensating: Undo 2, Undo 1 ------------------------------> Compensated
//	                        |   fails for good; or an action past the pivot does
//	                        v
//	          Parked: somebody is alarmed, and calls Resume or TurnBack
//
// # What is promised
//
// When Start has returned nil the saga is in the store, and ends Completed or Compensated, or is Parked and an alarm raised, whatever crashes on the way, as long as
// some runner with its definition runs. Its state is saved after each step and before the next begins. A crash in between has one step called again: Do and Undo are called at least once, with a Key
// that is the same each time, by which the services that they call know what they have done already. Then each has its effect once.
//
// Compensations run in reverse order, of every step that was begun, the failed one too: after an error, a timeout or a crash nobody knows whether it had an effect, so an Undo
// does nothing where there is nothing to undo. Sagas have no isolation: others see what the steps have done so far.
//
// # One runner at a time
//
// A runner claims a saga for a while and renews that (WithLease). When it dies, another takes the saga over at the end of that time. One that was thought dead, and is not, cannot save any more (ErrFenced): its step's
// context ends, and what the step still does is covered by its Key. A step that crashes its process uses up an attempt by that.
//
// # Definitions change
//
// A saga is resumed by the version it was begun with. Start new ones with the new version and give the runner the old one with WithOlder until nobody needs it. Sagas of versions
// that no runner has wait, and are reported as events (Unknown); steps that changed without a new version park what they meet.
//
// # Stores
//
// NewSQL keeps sagas in PostgreSQL or SQLite, for any number of runners. OpenJournal keeps them on the disk of one process, in a spool. NewMemory forgets. A Store has five methods, and package
// sagatest has the tests that every one must pass.
//
// # Goroutines
//
// Run claims on the caller's goroutine, and has two for each saga in hand, one of them in the step; all have ended when it returns. No lock is held during a call of a store, a step or the hook.
package saga
