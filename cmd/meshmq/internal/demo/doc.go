// Package demo is a small order business of several processes that find each other and work together: `meshmq demo`.
package demo
