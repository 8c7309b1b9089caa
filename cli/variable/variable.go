// Package variable reads environment variables as they come out of files, shells and
// clusters.
//
// What may not live here: what a variable means. It imports the standard library only;
// cli and cmd import it.
package variable

import "strings"

// Read gives the environment without what nobody meant: a line end behind a value, which
// files with CRLF and "$(cat FILE)" of some shells leave, and what Kubernetes puts there
// for a Service whose name happens to make a variable of ours.
func Read(getenv func(string) string) func(string) string {
	return func(name string) string {
		if ofService(name, getenv) {
			return ""
		}
		return strings.TrimRight(getenv(name), "\r\n")
	}
}

// portSuffix ends the variable with the address of a Service; serviceSuffix that with its
// host, which is there whenever the first is.
const (
	portSuffix    = "_PORT"
	serviceSuffix = "_SERVICE_HOST"
)

// ofService reports whether Kubernetes made a variable: for a Service called
// mezusphere-public it sets MEZUSPHERE_PUBLIC_PORT=tcp://10.0.0.1:443 beside
// MEZUSPHERE_PUBLIC_SERVICE_HOST. What somebody sets himself takes its place, and is no
// such address.
func ofService(name string, getenv func(string) string) bool {
	service, ok := strings.CutSuffix(name, portSuffix)
	if !ok || getenv(service+serviceSuffix) == "" {
		return false
	}
	value := getenv(name)
	for _, protocol := range []string{"tcp://", "udp://", "sctp://"} {
		if strings.HasPrefix(value, protocol) {
			return true
		}
	}
	return false
}
