// Package tui is the dashboard of the mezu command.
//
// What lives here: models, views and keys. What may not: I/O in an update, a
// client of the control plane, or anything of cli, daemon and edgesvc; the
// dashboard speaks to the daemon through an interface that cmd/mezu fills. Only
// cmd/mezu imports it.
package tui
