package examples_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestRequestTracing(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []string{
		"customer: orders.create (client)",
		"  shop: orders.create (server)",
		"    shop: send Order (producer)",
		"      warehouse: process Order (consumer)",
		"        warehouse: publish orders.packed (producer)",
		"          mail: process orders.packed (consumer)",
		"spans: 6 of 6",
	}, run(t, "request-tracing"))
}

func TestSchemaChange(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []string{
		"old to new: {First:Ada Last:Byron}",
		"new to old, with care: {Name:Ada Byron}",
		"new to new: {First:Ada Last:Byron}",
		"new to old, without: dead letter: unknown schema version 2 of Customer: want one of 1",
		`old to new, not convertible: dead letter: malformed message: Customer version 1: convert main.CustomerV1 to main.Customer: "Ada" has no last name`,
	}, run(t, "schema-change"))
}
