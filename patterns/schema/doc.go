// Package schema lets message types change while old and new programs talk to each other.
//
// A [Registry] knows the versions of each type, each a Go type of its own, and how to turn one into another. Given to
// patterns.WithSchemas, it checks what is sent and stamps it with its version, and turns what is received into the version that the
// handler takes:
//
//	schemas, err := schema.New(
//		schema.Version[OrderV1]("Order", 1),
//		schema.Version[OrderV2]("Order", 2, schema.From(splitName)), // func(OrderV1) (OrderV2, error)
//		schema.Version[Order]("Order", 3, schema.From(addCurrency)), // func(OrderV2) (Order, error)
//	)
//	worker := pushpull.NewWorker[Order](patterns.WithSchemas(schemas)) // reads all three
//
// # What is read, and what is not
//
// A message of a known version is decoded as that version's Go type and then converted, step by step, to the handler's: up, and down where
// [To] says how. So a program that has the new types can still write what old readers know ([WriteAs]) until all have been replaced.
//
// Within one version a type may grow: the codecs ignore fields that the reader does not have, and leave those that the writer does not
// send at zero. A version that old readers can take for theirs says so with [ReadableSince]: it travels with the message, in
// the header schema-since, and a reader that does not know the version reads it as the newest one it knows.
//
// Any other version is patterns.ErrVersion: the message is sound, and nobody here can read it. It is not tried again but goes where
// the pattern puts what it rejects, a dead letter with the reason or an answer to the caller, from where a newer
// reader can take it.
//
// A message without a version comes from a program without a Registry. It is taken for the oldest version known.
//
// # Breaking changes
//
// [Describe] says what a type looks like to peers, [Compare] what of a change would break them. Package schematest
// makes a test of it: it records the description in a file and fails once the type does not fit it any more.
//
// The package starts no goroutine. A Registry does not change, and needs no lock.
package schema
