package config

import (
	"context"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// PublicCertificate issues a server certificate for endpoints of environments that
// exist, and for nothing else.
func (s *Configuration) PublicCertificate(ctx context.Context, c access.Caller, in api.PublicCertificateRequest) (api.PublicCertificateChain, error) {
	var out api.PublicCertificateChain
	if _, err := access.Admit(api.OpPublicCertificate, c); err != nil {
		return out, err
	}
	if len(in.Hosts) == 0 || len(in.Hosts) > api.MaxPublicHosts {
		return out, mezu.Invalid("hosts", "1 to %d names", api.MaxPublicHosts)
	}
	for _, host := range in.Hosts {
		label, ok := strings.CutSuffix(host, "."+s.fleet.Domain)
		unknown := &mezu.Error{Code: mezu.CodeForbidden, Field: "hosts", Detail: "only endpoints of environments under " + s.fleet.Domain + " get a certificate"}
		if !ok || !mezu.EndpointFits(label) {
			return out, unknown
		}
		holder, err := record.Optional[endpoint](ctx, s.records, keyEndpoint(label))
		if err != nil {
			return out, err
		}
		if holder.Value.Environment == "" {
			return out, unknown
		}
	}
	issued, err := s.records.Authority.IssueServer(in.CSR, in.Hosts, nil)
	if err != nil {
		return out, err
	}
	// Nothing is kept of it but that it was issued, to whom and for what.
	_, err = s.records.Commit(ctx, access.By(c, api.OpPublicCertificate.ID), func(ch *record.Change) error {
		ch.Audit(record.About(record.KindCertificate, issued.Serial, in.Hosts[0]), nil, auditedCertificate{in.Hosts, issued.NotAfter})
		return nil
	})
	if err != nil {
		return out, err
	}
	out.Certificates = issued.Chain
	return out, nil
}

// auditedCertificate is what a record tells of a server certificate that was issued; its
// serial is the target's id.
type auditedCertificate struct {
	Hosts    []string  `json:"hosts"`
	NotAfter time.Time `json:"not_after"`
}

// EndpointHold is how long a released endpoint stays with its organization, so
// that nobody receives what was meant for the previous holder.
const EndpointHold = 30 * 24 * time.Hour

// endpointAttempts is how many labels are tried for one environment; each after
// the first has a suffix of its own, so that two already collide hardly ever.
const endpointAttempts = 16

// endpoint is who holds a label under the edge domain.
type endpoint struct {
	Organization string `json:"organization"`          // id
	Environment  string `json:"environment,omitempty"` // id; if empty, released
	// HeldUntil is the end of the hold on a released label.
	HeldUntil time.Time `json:"held_until,omitzero"`
}

// allocate takes the first free label for the environment.
func (s *Configuration) allocate(ctx context.Context, ch *record.Change, org mezu.Organization, prj mezu.Project, env *mezu.Environment) error {
	for attempt := range endpointAttempts {
		label := mezu.EndpointLabel(org.Name, prj.Name, env.Name, attempt)
		if !mezu.EndpointFits(label) {
			continue
		}
		holder, err := record.Optional[endpoint](ctx, s.records, keyEndpoint(label))
		if err != nil {
			return err
		}
		released := holder.Value.Environment == "" && (holder.Value.Organization == org.ID || !s.records.Now().Before(holder.Value.HeldUntil))
		if holder.Revision != 0 && !released {
			continue
		}
		ch.Update(keyEndpoint(label), holder.Revision, endpoint{Organization: org.ID, Environment: env.ID})
		env.Endpoint = label
		return nil
	}
	return &mezu.Error{Code: mezu.CodeConflict, Field: "name", Detail: "no endpoint is free for this name", Hint: "choose another name"}
}

// Jobs remove what has ended of projects and environments.
func (s *Configuration) Jobs() []record.Job {
	return []record.Job{
		{Name: "sweeping rotated keys", Every: record.SweepInterval, Run: s.sweepKeys},
		{Name: "sweeping removed environments", Every: record.SweepInterval, Run: s.sweepTombstones},
		{Name: "sweeping endpoints", Every: record.SweepInterval, Run: s.sweepEndpoints},
		{Name: "encrypting to edges", Every: record.SweepInterval, Run: s.sealEdgeParts},
		{Name: "sweeping documents", Every: record.SweepInterval, Run: s.sweepDocuments},
	}
}

func (s *Configuration) sweepEndpoints(ctx context.Context) error {
	return record.Sweep(ctx, s.records, prefixEndpoint, func(e endpoint) bool { return e.Environment == "" && s.records.Now().After(e.HeldUntil) })
}
