package fleet

import (
	"net"
	"strconv"

	"github.com/mezusphere/mezu"
)

// ShownEnvironment adds the fields that are not stored because they follow from the
// installation's settings.
func (s *Fleet) ShownEnvironment(e mezu.Environment) mezu.Environment {
	e.URL = s.URL(e.Endpoint)
	on := e.IsEnabled()
	e.Enabled = &on
	return e
}

// URL is the public address of an endpoint.
func (s *Fleet) URL(endpoint string) string {
	host := endpoint + "." + s.Domain
	if s.Port != 0 && s.Port != 443 {
		host = net.JoinHostPort(host, strconv.Itoa(s.Port))
	}
	return "https://" + host
}
