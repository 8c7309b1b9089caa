// Package e2e holds the tests of the programs as users run them: real binaries,
// one process each, real sockets, a real store. Nothing else lives here and
// nobody imports it.
package e2e
