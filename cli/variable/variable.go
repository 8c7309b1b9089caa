// Package variable reads environment variables, and removes what files, shells and clusters
// add to them.
//
// What may not live here: what a variable means. It imports the standard library only;
// cli and cmd import it.
package variable

import "strings"

// Read gives the environment without what nobody meant to set. That is a line end after a
// value, which files with CRLF and "$(cat FILE)" of some shells leave, and a variable that
// Kubernetes sets for a Service whose name happens to give the name of a variable of ours.
func Read(getenv func(string) string) func(string) string {
	return func(name string) string {
		if ofService(name, getenv) {
			return ""
		}
		return strings.TrimRight(getenv(name), "\r\n")
	}
}

// portSuffix ends the name of the variable with the address of a Service, serviceSuffix that
// of the one with its host. Kubernetes always sets both.
const (
	portSuffix    = "_PORT"
	serviceSuffix = "_SERVICE_HOST"
)

// ofService reports whether Kubernetes made a variable: for a Service called
// mezusphere-public it sets MEZUSPHERE_PUBLIC_PORT=tcp://10.0.0.1:443 beside
// MEZUSPHERE_PUBLIC_SERVICE_HOST. If somebody has set the variable, Kubernetes leaves it, and
// its value is no such address.
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
