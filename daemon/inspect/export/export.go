// Package export writes recorded exchanges in the forms that other programs read: as a curl
// command, as an HTTP archive, and what differs between two of them.
//
// What lives here: those forms and their quoting. What may not: what is recorded, and what of it
// is masked, which comes before (daemon/inspect/show). daemon/rest imports it.
package export
