//go:build race

package spool_test

const every = 11
