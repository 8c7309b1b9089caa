package service

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mezusphere/mezu"
)

// Quotas bound how many records of a kind one owner may have, by the kind's name, so
// that no tenant fills the store of all. What is not named has its default.
type Quotas map[string]int

// quota is one bound: what it counts, below what, its default and the highest value
// that it can be set to.
type quota struct {
	name, owner   string
	fallback, max int
}

// anyNumber is as good as no quota.
const anyNumber = 1_000_000_000

// listed is the most of what is counted by listing it, in one page with room for what
// has ended.
const listed = 500

// Quotas, each far above what a tenant of a believable size has.
var (
	// A page of projects or accounts has as many at most, so that one call shows all.
	quotaProjects = quota{"projects", "the organization", 1000, anyNumber}
	quotaAccounts = quota{"service_accounts", "the project", 1000, anyNumber}
	quotaMembers  = quota{"members", "the organization", 1000, anyNumber}
	// A manifest names as many at most.
	quotaEnvironments = quota{"environments", "the project", mezu.MaxManifestEnvironments, anyNumber}
	// The removal of a role looks into each directory that can have given it.
	quotaDirectories = quota{"directories", "the owner", 100, anyNumber}
	// What etcd holds beside the rest (docs/architecture.md).
	quotaUsers = quota{"users", "the directory", 1_000_000, anyNumber}
	// All of them are one document, which has this bound itself.
	quotaRoutes = quota{"routes", "the environment", mezu.MaxRoutes, mezu.MaxRoutes}
	// Fifty environments at their limit; what was replaced counts for a minute.
	quotaBytes       = quota{"bytes", "the organization", 1 << 30, 1 << 40}
	quotaTokens      = quota{"tokens", "the person", MaxTokens, listed}
	quotaInvitations = quota{"invitations", "the organization", MaxInvitations, listed}
	// Each may have to be revoked, which every edge keeps: 12,500 Warpgates that renew
	// each day.
	quotaCertificates = quota{"certificates", "the organization", MaxCertificates, anyNumber}
	// Users that were ended within the life of a session. It refuses nothing.
	quotaRevocations = quota{"revocations", "the organization", MaxRevocations, anyNumber}
)

const (
	// MaxCertificates is how many certificates an organization's Warpgates get in
	// eight days: as many as 12,500 of them that renew each day.
	MaxCertificates = 100_000
	// MaxRevocations is how many users of an organization are ended one by one within
	// the life of a session; with the next all sessions of its directory end. It is a
	// twentieth of what an edge is measured with.
	MaxRevocations = 10_000
)

var allQuotas = []quota{quotaProjects, quotaEnvironments, quotaRoutes, quotaAccounts, quotaMembers, quotaInvitations, quotaTokens, quotaDirectories, quotaUsers, quotaCertificates, quotaRevocations, quotaBytes}

// ParseQuotas reads settings of the form NAME=N.
func ParseQuotas(settings []string) (Quotas, error) {
	out := Quotas{}
	for _, setting := range settings {
		name, value, ok := strings.Cut(setting, "=")
		n, err := strconv.Atoi(value)
		if !ok || err != nil {
			return nil, mezu.Invalid("quotas", "is a list of NAME=NUMBER; %q is not", setting)
		}
		if _, twice := out[name]; twice {
			return nil, mezu.Invalid("quotas", "%s is given twice", name)
		}
		out[name] = n
	}
	return out, out.Validate()
}

// Validate checks names and numbers.
func (q Quotas) Validate() error {
	for name, n := range q {
		i := slices.IndexFunc(allQuotas, func(a quota) bool { return a.name == name })
		if i < 0 {
			var names []string
			for _, a := range allQuotas {
				names = append(names, a.name)
			}
			return mezu.Invalid("quotas", "there is no quota %q; there are %s", name, strings.Join(names, ", "))
		}
		if n < 1 || n > allQuotas[i].max {
			return mezu.Invalid("quotas", "%s is between 1 and %d, not %d", name, allQuotas[i].max, n)
		}
	}
	return nil
}

// most is the value of a quota.
func (s *Service) most(q quota) int { return cmp.Or(s.quotas[q.name], q.fallback) }

// within refuses the n-th record of an owner if it is one too many.
func (s *Service) within(q quota, n int) error {
	most := s.most(q)
	if n <= most {
		return nil
	}
	return &mezu.Error{Code: mezu.CodeConflict, Detail: fmt.Sprintf("the quota of %s is %d: %s has no room for more", strings.ReplaceAll(q.name, "_", " "), most, q.owner),
		Hint: "delete what nobody uses, or ask an operator for a higher `quotas: [" + q.name + "=N]`"}
}

// noBytes refuses a document that an organization has no room for.
func (s *Service) noBytes() error {
	most := s.most(quotaBytes)
	return &mezu.Error{Code: mezu.CodeConflict, Detail: fmt.Sprintf("the quota of bytes is %d: the routes and bundles of the organization have no room for more", most),
		Hint: "what was replaced makes room within a minute; else delete what nobody uses, or ask an operator for a higher `quotas: [" + quotaBytes.name + "=N]`"}
}

// add counts one more record below a parent, or refuses it.
func (s *Service) add(ctx context.Context, ch *change, parent string, q quota, counter func(*children) *int) error {
	n, err := s.counters(ctx, ch, parent)
	if err != nil {
		return err
	}
	at := counter(&n.Value)
	*at++
	return s.within(q, *at)
}
