// Package peers holds programs of others, and what makes them answer a test's questions: h2spec, the
// interop tests of gRPC, a registry and signers of webhooks in Go; the folder node with programs in Node, python with some
// in Python. e2e runs them against an edge. It is a module of its own, so that the product depends on
// none of them.
package peers
