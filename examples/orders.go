// Package examples holds the messages that the demo works on. The example programs are in the folders below.
package examples

import _ "embed"

// Orders is a file of orders, one JSON object a line.
//
//go:embed orders.jsonl
var Orders []byte
