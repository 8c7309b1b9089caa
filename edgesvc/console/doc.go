// Package console is the web console of the control plane.
//
// What lives here: pages, and the handlers that fill them through the operations
// that the REST API has too. What may not: an operation or a right of its own.
// The control plane and cmd import it.
package console
