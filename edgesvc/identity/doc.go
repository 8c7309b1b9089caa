// Package identity is the directories of end users: users, what finds them, their roles
// and their history of logins; later login flows, sessions, and the grants that the
// control plane signs for them.
//
// What may not live here: the certificate authority (package ca), members of
// organizations (package control/team), and the judgement of a request, which needs
// nothing but a grant (package policy). Only control/config and control/service import
// it.
package identity
