package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/audit"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// maxAuditRoutes bounds the changed routes that an audit record shows of a list that was
// replaced. The digests of both lists tell the rest.
const maxAuditRoutes = 20

// auditedRoutes is one side of a change of all routes: how many they are, the digest
// of the list, and those that the other side has not, or has otherwise.
type auditedRoutes struct {
	Count   int          `json:"count"`
	SHA256  string       `json:"sha256"`
	Changed []mezu.Route `json:"changed"`
	cut     bool
}

// Incomplete reports whether routes were left out.
func (r auditedRoutes) Incomplete() bool { return r.cut }

// auditRoutes gives both sides of a change of all routes.
func auditRoutes(before, after []mezu.Route) (was, is auditedRoutes, err error) {
	if was, err = routesSide(before, after); err != nil {
		return was, is, err
	}
	is, err = routesSide(after, before)
	return was, is, err
}

func routesSide(of, other []mezu.Route) (auditedRoutes, error) {
	out := auditedRoutes{Count: len(of), Changed: []mezu.Route{}}
	var err error
	if out.SHA256, err = digestOfRoutes(of); err != nil {
		return out, err
	}
	known := byIdentity(other)
	room := audit.MaxSide - 1<<10 // for what is around them
	for i := range of {
		r := &of[i]
		if was := known[r.Identity()]; was != nil && sameRoute(was, r) {
			continue
		}
		data, err := record.Encode(r)
		if err != nil {
			return out, fmt.Errorf("encoding a route: %w", err)
		}
		room -= len(data) + 1
		if room < 0 || len(out.Changed) == maxAuditRoutes {
			out.cut = true
			break
		}
		out.Changed = append(out.Changed, *r)
	}
	return out, nil
}

// digestOfRoutes is the digest of routes as they are encoded, one by one.
func digestOfRoutes(routes []mezu.Route) (string, error) {
	sum := sha256.New()
	if err := writeRoutes(sum, routes); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// writeRoutes writes routes as a list in JSON, one after the other: all of them encoded
// at once are held twice.
func writeRoutes(w io.Writer, routes []mezu.Route) error {
	out := json.NewEncoder(w)
	for i, separator := range []string{"[", "]"} {
		if _, err := io.WriteString(w, separator); err != nil || i == 1 {
			return err
		}
		for i := range routes {
			if i > 0 {
				if _, err := io.WriteString(w, ","); err != nil {
					return err
				}
			}
			if err := out.Encode(&routes[i]); err != nil {
				return fmt.Errorf("encoding a route: %w", err)
			}
		}
	}
	return nil
}
