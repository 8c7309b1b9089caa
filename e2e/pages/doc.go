// Package pages holds the tests that run README.md and docs/ as they are written: each
// command of a page in its order, in a clean home, on machines that are namespaces of the
// kernel. Nothing else lives here and nobody imports it.
package pages
