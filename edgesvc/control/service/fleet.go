package service

// Fleet is the operations on edges and Warpgates.
type Fleet struct {
	records *Records
	access  *Access
	domain  string // under which endpoints are labels
	port    int    // in URLs; if zero or 443, none is shown
}

// newFleet makes it.
func newFleet(r *Records, a *Access, domain string, port int) *Fleet {
	return &Fleet{records: r, access: a, domain: domain, port: port}
}

// fleetQuotas are those of Warpgates.
func fleetQuotas() []quota { return []quota{quotaCertificates} }
