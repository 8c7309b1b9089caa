package cookie

import "bytes"

// Response judges a field of a workload's response. domain is the name below which the
// environments of all tenants have their hosts, empty if that is not known. It gives the
// value to pass on in its place, and whether it may pass.
//
// Dropped are a Set-Cookie that Foreign refuses, and what Clear-Site-Data says of cookies:
// browsers clear them for all of the registrable domain, which tenants share.
func Response(name, value []byte, domain string) (pass []byte, ok bool) {
	switch len(name) {
	case len(setCookie):
		if bytes.EqualFold(name, []byte(setCookie)) {
			return value, !Foreign(value, domain)
		}
	case len(clearSiteData):
		if bytes.EqualFold(name, []byte(clearSiteData)) {
			value = siteData(value)
			return value, len(value) > 0
		}
	}
	return value, true
}

const (
	setCookie     = "set-cookie"
	clearSiteData = "clear-site-data"
)

// Foreign reports whether a Set-Cookie of a workload is not its own to set: it names a cookie
// of ours, however it is spelled, or it is for a domain that other tenants share.
func Foreign(value []byte, domain string) bool {
	if ours(value, true) >= 0 || mine(value) {
		return true
	}
	if domain == "" {
		return false
	}
	_, attributes, _ := bytes.Cut(value, []byte{';'})
	for a := range bytes.SplitSeq(attributes, []byte{';'}) {
		name, of, _ := bytes.Cut(a, []byte{'='})
		if bytes.EqualFold(bytes.Trim(name, blanks), []byte("domain")) && covers(bytes.Trim(of, blanks), domain) {
			return true
		}
	}
	return false
}

// covers reports whether a cookie for the domain of comes to all hosts below domain: it is
// the same or one above. One in other characters than host names have counts, too, because
// browsers decode it before they compare.
func covers(of []byte, domain string) bool {
	of = bytes.TrimSuffix(bytes.TrimPrefix(of, []byte{'.'}), []byte{'.'})
	if len(of) == 0 {
		return false // as if it were not there
	}
	for _, c := range of {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return true
		}
	}
	if len(of) > len(domain) {
		return false
	}
	at := len(domain) - len(of)
	return bytes.EqualFold(of, []byte(domain[at:])) && (at == 0 || domain[at-1] == '.')
}

// siteData is the value of a Clear-Site-Data without what it says of cookies. The asterisk
// becomes what it means beside those.
func siteData(value []byte) []byte {
	if !bytes.ContainsAny(value, "*cC") {
		return value
	}
	var out []byte
	add := func(directive []byte) {
		if len(out) > 0 {
			out = append(out, ", "...)
		}
		out = append(out, directive...)
	}
	for d := range bytes.SplitSeq(value, []byte{','}) {
		d = bytes.Trim(d, blanks)
		switch what := bytes.Trim(d, `"`+blanks); {
		case len(d) == 0, bytes.EqualFold(what, []byte("cookies")):
		case string(what) == "*":
			add([]byte(`"cache", "storage"`))
		default:
			add(d)
		}
	}
	return out
}
