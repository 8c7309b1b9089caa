package policy

// OwnPage reports whether a request comes from a page of its own host, by its Authority, or from no
// page: a program sends no Origin, and a browser one with every request that is not safe and every
// WebSocket. A page that hides where it is sends «null»; then Sec-Fetch-Site tells. A field that is
// missing is empty.
func OwnPage(authority, origin, fetchSite string) bool {
	if fetchSite != "" {
		return (fetchSite == "same-origin" || fetchSite == "none") && (origin == "" || origin == "null" || origin == "https://"+authority)
	}
	return origin == "" || origin == "https://"+authority
}

// AdmitsUpgrade reports whether a WebSocket of a page may be opened on the route: of the host's own
// page, of one of an origin that the route's cors names, or of any where the route asks nobody who
// they are. Browsers send cookies with every WebSocket, which knows no same-origin policy (RFC 6455,
// 10.2).
func (d *Decision) AdmitsUpgrade(own, named bool) bool { return own || named || !d.AsksWho() }
