// Package identity is the directories of end users: accounts, login flows,
// sessions, and the grants that the control plane signs for them.
//
// What lives here: flows and their pages. What may not: the certificate authority
// (package ca), members of organizations (package control/service), and the
// judgement of a request, which needs nothing but a grant (package policy). The
// control plane and cmd import it.
package identity
