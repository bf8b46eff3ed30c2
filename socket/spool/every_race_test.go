//go:build race

package spool_test

const seldom = 61
