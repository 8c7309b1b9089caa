package control

import (
	"log/slog"
	"net/url"

	"golang.org/x/net/publicsuffix"
)

// warnOfSiblings warns when the team logs in under the domain of which workloads have hosts:
// browsers take such hosts for the same site. A workload can then set cookies for the login's
// host, and its forms come with the cookies of the login (L4, N27).
func warnOfSiblings(log *slog.Logger, site, domain string) {
	u, err := url.Parse(site)
	if err != nil {
		return // it was made by us
	}
	if shared := sharedDomain(u.Hostname(), domain); shared != "" {
		log.Warn("people of the team log in under the registrable domain of the workloads; give the API a name under another domain", "login", u.Hostname(), "domain", domain, "shared", shared)
	}
}

// sharedDomain is the registrable domain that two hosts have in common, empty if none.
func sharedDomain(a, b string) string {
	of, err := publicsuffix.EffectiveTLDPlusOne(a)
	if err != nil {
		return "" // it is an address, or a name that nobody can register, such as localhost
	}
	other, err := publicsuffix.EffectiveTLDPlusOne(b)
	if err != nil || other != of {
		return ""
	}
	return of
}
